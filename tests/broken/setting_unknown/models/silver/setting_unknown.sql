{{ config(sorted='id') }}
select id from bronze.books
