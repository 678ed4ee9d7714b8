select {{ dbt_utils.union_relations(1) }}
from silver.good
