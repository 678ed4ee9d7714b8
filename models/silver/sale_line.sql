-- Every sale once, typed, with the reason why it cannot be used, if there is one.
with typed as (
    select
        sale_id,
        try_cast(sold_at as timestamp) as sold_at,
        isbn,
        cast(customer_id as bigint) as customer_id,
        channel,
        try_cast(quantity as int) as quantity,
        try_cast(unit_price as decimal(10, 2)) as unit_price,
        cast(coalesce(discount, '0') as decimal(4, 2)) as discount,
        row_number() over (partition by sale_id order by _source_row) as copy
    from bronze.sales
)
select
    typed.sale_id, typed.sold_at, typed.isbn, typed.customer_id, typed.channel,
    typed.quantity, typed.unit_price, typed.discount,
    case
        when typed.sold_at is null then 'no such day'
        when typed.unit_price is null then 'price is no number'
        when coalesce(typed.quantity, 0) = 0 then 'no quantity'
        when book.isbn is null then 'unknown book'
    end as reason
from typed
left join silver.book on book.isbn = typed.isbn
where typed.copy = 1
