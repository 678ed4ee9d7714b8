-- Run inside the load's transaction with the warehouse schema first in search_path. Must be fit to run again.
create or replace view revenue_by_month as
select d.year, d.month, sum(f.quantity) as copies, sum(f.revenue) as revenue
from fact_sale f
join dim_date d using (date_key)
group by d.year, d.month;

comment on view revenue_by_month is 'Copies and revenue per month, returns taken off.';
