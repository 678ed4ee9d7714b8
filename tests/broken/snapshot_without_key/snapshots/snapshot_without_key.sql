{% snapshot keyed_history %}
{{ config(unique_key='id', strategy='check', check_cols='all') }}
select id, title from bronze.books
{% endsnapshot %}

  {% snapshot keyless_history %}{{ config(strategy='check', check_cols='all') }}
select id, title from bronze.books
{% endsnapshot %}
