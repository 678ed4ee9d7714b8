-- Fails for each row returned.
select sale_id, quantity, revenue
from gold.fact_sale
where is_return <> (revenue < 0)
