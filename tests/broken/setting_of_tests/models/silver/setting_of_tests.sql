{{ config(severity='warn') }}
select id, title from bronze.books
