select id from bronze.books
where id > {{ var('since') }}
