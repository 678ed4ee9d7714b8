select id,
  {{ dbt_expectations.anything(1) }} as n
from silver.good
