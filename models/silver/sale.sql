select sale_id, sold_at, isbn, customer_id, channel, quantity, unit_price, discount
from silver.sale_line
where reason is null
