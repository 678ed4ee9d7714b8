{{ config(sort='id') }}
select id from bronze.books
