{{ config(materialized='append') }}
-- A log: one row per stream and arrival, added each time something new arrived.
select 'sales' as stream, _ingested_at as arrived_at, count(*) as lines
from {{ source('bronze', 'sales') }}
{% if is_incremental() %}
where _ingested_at > (select max(arrived_at) from {{ this }})
{% endif %}
group by _ingested_at
