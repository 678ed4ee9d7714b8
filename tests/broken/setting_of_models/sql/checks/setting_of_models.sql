{{ config(materialized='table') }}
select * from bronze.books where id is null
