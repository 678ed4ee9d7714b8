{% snapshot a_history %}{{ config(unique_key='id', strategy='check', check_cols='all') }}
select id from bronze.books{% endsnapshot %}
{% snapshot b_history %}{{ config(unique_key='id', strategy='check', check_cols='all') }}
select id, title from {{ ref('godo') }} g, silver.goood{% endsnapshot %}
{% snapshot c_history %}{{ config(unique_key='id', strategy='check', check_cols='all') }}select id, title from silver.goood{% endsnapshot %}
