{{ config(tags='x') }}
select id from {{ ref('goood') }}
