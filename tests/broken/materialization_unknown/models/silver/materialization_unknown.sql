{{ config(materialized='view') }}
select id from bronze.books
