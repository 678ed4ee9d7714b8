-- The newest card of each customer; a later line of the file corrects an earlier one.
with ranked as (
    select
        customer_id, name, lower(email) as email, joined, newsletter, city, country,
        row_number() over (partition by customer_id order by _source_row desc) as newest
    from bronze.customers
)
select customer_id, name, email, joined, newsletter, city, country
from ranked
where newest = 1
