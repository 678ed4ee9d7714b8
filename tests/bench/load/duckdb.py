"""Loads the star with DuckDB: each table's Parquet files into a table of the same name, in one transaction.

    duckdb.py GOLD URL SCHEMA
"""

import pathlib
import sys

# The folder of this script comes first otherwise, and with it this file under the package's name.
sys.path.pop(0)
import duckdb  # noqa: E402

gold, url, schema = sys.argv[1:]
connection = duckdb.connect(config={"threads": 2})
connection.execute("install postgres; load postgres")
connection.execute(f"attach '{url}' as warehouse (type postgres)")
connection.execute("begin")
connection.execute(f"create schema warehouse.{schema}")
for table in sorted(pathlib.Path(gold).iterdir()):
    rows = f"read_parquet('{table}/*.parquet')"
    connection.execute(f"create table warehouse.{schema}.{table.name} as from {rows}")
connection.execute("commit")
