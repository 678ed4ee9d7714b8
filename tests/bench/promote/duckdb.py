"""Makes the star with DuckDB: each model's statement, from the Parquet files of the Bronze tables to one file.

    duckdb.py BRONZE MODELS FOLDER    writes FOLDER/<model>.parquet for each MODELS/<model>.sql
    duckdb.py --sums FOLDER           rows, revenue and quantity of the fact
"""

import pathlib
import sys

# The folder of this script comes first otherwise, and with it this file under the package's name.
sys.path.pop(0)
import duckdb  # noqa: E402

connection = duckdb.connect(config={"threads": 2})


def make(bronze, models, folder):
    connection.execute("create schema bronze")
    for table in bronze.iterdir():
        connection.execute(f"create view bronze.{table.name} as from read_parquet('{table}/*.parquet')")
    for model in sorted(models.glob("*.sql")):
        query = model.read_text().strip().rstrip(";")
        connection.execute(f"copy ({query}) to '{folder}/{model.stem}.parquet' (format parquet)")


def sums(folder):
    fact = f"read_parquet('{folder}/fact_order_line.parquet')"
    row = connection.execute(f"select count(*), sum(revenue), sum(quantity) from {fact}").fetchone()
    print(",".join(str(value) for value in row))


if sys.argv[1] == "--sums":
    sums(sys.argv[2])
else:
    make(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3])
