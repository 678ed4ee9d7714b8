-- Sales that break a rule, kept with the reason so that somebody can ask the shop.
select sale_id, sold_at, isbn, customer_id, channel, quantity, unit_price, reason
from silver.sale_line
where reason is not null
