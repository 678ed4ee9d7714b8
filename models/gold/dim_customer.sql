-- Customer 0 stands for everyone who did not give a name, so that every sale has a customer.
select customer_id as customer_key, name, email, joined, newsletter, city, country
from silver.customer
union all
select cast(0 as bigint), 'Walk-in customer', null, null, false, null, null
