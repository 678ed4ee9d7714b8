"""Merges rows into the fact with delta-rs.

    delta_rs.py --news TABLE FILE    one row in a hundred of TABLE, spread evenly, with a higher quantity, as FILE
    delta_rs.py TABLE FILE           merges FILE into TABLE by order_key and line_number
"""

import sys

sys.path.pop(0)
import pyarrow.compute as pc  # noqa: E402
import pyarrow.parquet  # noqa: E402
from deltalake import DeltaTable  # noqa: E402


def news(table, file):
    rows = DeltaTable(table).to_pyarrow_table()
    number = pc.add(pc.multiply(rows["order_key"], 7), rows["line_number"])
    hundredth = pc.equal(pc.subtract(number, pc.multiply(pc.divide(number, 100), 100)), 0)
    chosen = rows.filter(hundredth)
    at = chosen.schema.get_field_index("quantity")
    higher = pc.cast(pc.add(chosen["quantity"], 100), chosen.schema.field(at).type)
    pyarrow.parquet.write_table(chosen.set_column(at, chosen.schema.field(at), higher), file)


def merge(table, file):
    source = pyarrow.parquet.read_table(file)
    same = "target.order_key = source.order_key and target.line_number = source.line_number"
    merging = DeltaTable(table).merge(source, predicate=same, source_alias="source", target_alias="target")
    result = merging.when_matched_update_all().when_not_matched_insert_all().execute()
    assert result["num_target_rows_updated"] == source.num_rows, result


if sys.argv[1] == "--news":
    news(sys.argv[2], sys.argv[3])
else:
    merge(sys.argv[1], sys.argv[2])
