{{ config(materialized='cube') }}
select id from bronze.books
