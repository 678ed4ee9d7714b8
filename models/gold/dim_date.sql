-- Every day from the first sale to the last, whether something was sold or not.
with span as (
    select cast(min(sold_at) as date) as first_day, cast(max(sold_at) as date) as last_day
    from silver.sale
),

days as (
    select unnest(generate_series(first_day, last_day, interval '1 day')) as day
    from span
)

select
    cast(date_part('year', day) * 10000 + date_part('month', day) * 100 + date_part('day', day) as int) as date_key,
    cast(day as date) as day,
    cast(date_part('year', day) as int) as year,
    cast(date_part('quarter', day) as int) as quarter,
    cast(date_part('month', day) as int) as month
from days
