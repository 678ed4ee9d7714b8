"""Makes the star with Spark: each model's statement, from the Parquet files of the Bronze tables to a folder of files.

    spark.py BRONZE MODELS FOLDER    writes FOLDER/<model> for each MODELS/<model>.sql
    spark.py --sums FOLDER           rows, revenue and quantity of the fact
"""

import pathlib
import sys

from pyspark.sql import SparkSession

spark = (
    SparkSession.builder.master("local[2]")
    .appName("bench")
    .config("spark.ui.enabled", "false")
    .config("spark.ui.showConsoleProgress", "false")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.memory", "3g")
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.sql.session.timeZone", "UTC")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")


def make(bronze, models, folder):
    for table in bronze.iterdir():
        files = [str(file) for file in table.glob("*.parquet")]
        spark.read.parquet(*files).createOrReplaceTempView(table.name)
    for model in sorted(models.glob("*.sql")):
        # Views of a session have no schema.
        query = model.read_text().strip().rstrip(";").replace("bronze.", "")
        spark.sql(query).write.parquet(f"{folder}/{model.stem}")


def sums(folder):
    fact = spark.read.parquet(f"{folder}/fact_order_line")
    row = fact.selectExpr("count(*)", "sum(revenue)", "sum(quantity)").first()
    print(",".join(str(value) for value in row))


if sys.argv[1] == "--sums":
    sums(sys.argv[2])
else:
    make(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3])
