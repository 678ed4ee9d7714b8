-- One row per sale or return. A return has a negative quantity and so a negative revenue.
select
    sale_id,
    cast(date_part('year', sold_at) * 10000 + date_part('month', sold_at) * 100 + date_part('day', sold_at) as int)
        as date_key,
    isbn as book_key,
    coalesce(customer_id, 0) as customer_key,
    channel,
    sold_at,
    quantity,
    unit_price,
    discount,
    cast(quantity * unit_price * (1 - discount) as decimal(18, 4)) as revenue,
    quantity < 0 as is_return
from silver.sale
