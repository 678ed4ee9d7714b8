{{ config(materialized='incremental', unique_key='id') }}
select id, title from bronze.books
