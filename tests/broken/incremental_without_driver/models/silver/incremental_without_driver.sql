{{ config(materialized='incremental', unique_key='id') }}
select a.id from bronze.books a join bronze.sales b on a.id = b.id
