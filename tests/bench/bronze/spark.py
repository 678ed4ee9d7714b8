"""Kafka -> Delta by Spark Structured Streaming: the peer of the Bronze benchmark.

    spark.py --probe                  exits 0 when Spark can be started here
    spark.py BROKERS TOPIC FOLDER     reads the topic once (availableNow) into FOLDER/table; prints the seconds of
                                      the stream and of each of its batches as JSON
    spark.py --count FOLDER           prints `rows quantity` of the table
"""

import glob
import json
import os
import sys
import time

ROWS_PER_BATCH = 500_000
COLUMNS = (
    "order_id BIGINT, customer STRING, isbn STRING, quantity INT, price DECIMAL(10,2), placed_at TIMESTAMP, "
    "country STRING"
)
JARS = os.environ.get("LAKE_BENCH_SPARK_JARS")


def session():
    import pyspark
    from pyspark.sql import SparkSession

    builder = (
        SparkSession.builder.master("local[2]")
        .appName("bench")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.memory", "2g")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.databricks.delta.snapshotPartitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    )
    if JARS:
        builder = builder.config("spark.jars", ",".join(sorted(glob.glob(os.path.join(JARS, "*.jar")))))
    else:
        import importlib.metadata

        delta = importlib.metadata.version("delta-spark")
        packages = f"org.apache.spark:spark-sql-kafka-0-10_2.13:{pyspark.__version__},io.delta:delta-spark_2.13:{delta}"
        builder = builder.config("spark.jars.packages", packages)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def probe():
    import delta
    import pyspark

    if not pyspark.__version__.startswith("4"):
        sys.exit(f"PySpark 4 is needed, {pyspark.__version__} is there ({delta.__name__})")
    spark = session()
    for name in ["org.apache.spark.sql.kafka010.KafkaSourceProvider", "io.delta.sql.DeltaSparkSessionExtension"]:
        try:
            java = spark._jvm.java.lang
            java.Class.forName(name, True, java.Thread.currentThread().getContextClassLoader())
        except Exception:
            sys.exit(f"Spark has no {name}; see the head of spark.rs")
    spark.stop()


def stream(brokers, topic, folder):
    from pyspark.sql.functions import col, from_json

    spark = session()
    source = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", brokers)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", ROWS_PER_BATCH)
        .load()
    )
    order = from_json(col("value").cast("string"), COLUMNS).alias("order")
    rows = source.select(order, "topic", "partition", "offset", "timestamp", "key")
    rows = rows.select("order.*", "topic", "partition", "offset", "timestamp", "key")
    table = os.path.join(folder, "table")
    began = time.monotonic()
    query = (
        rows.writeStream.format("delta")
        .option("checkpointLocation", os.path.join(folder, "checkpoint"))
        .trigger(availableNow=True)
        .start(table)
    )
    query.awaitTermination()
    batches = [progress["durationMs"]["triggerExecution"] / 1000 for progress in query.recentProgress]
    print(json.dumps({"stream_seconds": round(time.monotonic() - began, 2), "batch_seconds": batches}), flush=True)
    spark.stop()


def count(folder):
    spark = session()
    found = spark.read.format("delta").load(os.path.join(folder, "table")).selectExpr("count(*)", "sum(quantity)").first()
    print(found[0], found[1], flush=True)
    spark.stop()


if sys.argv[1:] == ["--probe"]:
    probe()
elif sys.argv[1:2] == ["--count"]:
    count(sys.argv[2])
else:
    stream(*sys.argv[1:4])
