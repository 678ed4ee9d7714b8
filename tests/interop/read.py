"""Reads Delta tables with one engine and says what it found, so that engines can be compared.

    read.py duckdb|deltars|spark JARS FOLDER...

One JSON line per folder: the number of rows, for each column its type-free digest (the sum over all rows of a hash of
the value, so the order of rows does not count), its nulls, and for numbers the exact sum.
"""

import datetime
import decimal
import hashlib
import json
import os
import sys
import time

os.environ["TZ"] = "UTC"
time.tzset()


def text(value):
    """One spelling for a value, whichever type an engine gives it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return value.isoformat(timespec="microseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, (list, tuple)) and not hasattr(value, "asDict"):
        return "[" + ",".join(text(each) for each in value) + "]"
    if hasattr(value, "asDict"):
        value = value.asDict()
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{text(value[key])}" for key in sorted(value)) + "}"
    return str(value)


def summary(names, rows):
    columns = {name: {"digest": 0, "nulls": 0, "sum": None} for name in names}
    count = 0
    for row in rows:
        count += 1
        for name, value in zip(names, row):
            column = columns[name]
            digest = hashlib.sha256(text(value).encode()).digest()
            column["digest"] = (column["digest"] + int.from_bytes(digest[:8], "big")) % 2**64
            column["nulls"] += value is None
            if isinstance(value, (int, decimal.Decimal)) and not isinstance(value, bool):
                column["sum"] = (column["sum"] or 0) + value
    for column in columns.values():
        column["digest"] = f"{column['digest']:016x}"
        column["sum"] = None if column["sum"] is None else text(column["sum"])
    return {"rows": count, "columns": dict(sorted(columns.items()))}


def duckdb_reader(_jars):
    import duckdb
    import duckdb_extension_delta

    folder = os.path.dirname(duckdb_extension_delta.__file__)
    extension = os.path.join(folder, "extensions", f"v{duckdb.__version__}", "delta.duckdb_extension")
    connection = duckdb.connect()
    connection.execute(f"load '{extension}'")

    def read(folder):
        found = connection.execute("select * from delta_scan(?)", [folder])
        names = [column[0] for column in found.description]
        return names, found.fetchall()

    return read


def deltars_reader(_jars):
    import deltalake

    def read(folder):
        table = deltalake.DeltaTable(folder).to_pyarrow_table()
        columns = [column.to_pylist() for column in table.columns]
        return table.column_names, zip(*columns)

    return read


def spark_reader(jars):
    from pyspark.sql import SparkSession

    jars = ",".join(os.path.join(jars, jar) for jar in sorted(os.listdir(jars)))
    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.jars", jars)
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "1g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")

    def read(folder):
        table = session.read.format("delta").load(folder)
        return table.columns, table.collect()

    return read


def main():
    engine, jars, *folders = sys.argv[1:]
    readers = {"duckdb": duckdb_reader, "deltars": deltars_reader, "spark": spark_reader}
    read = readers[engine](jars)
    for folder in folders:
        print(json.dumps(summary(*read(folder))), flush=True)
    if engine != "spark":
        # All is said. Threads of the engine may outlive the interpreter's orderly end, and abort it now and then.
        os._exit(0)


main()
