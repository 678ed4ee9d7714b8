{#- Of the package dbt_date what needs no look into the warehouse. -#}

{% macro get_base_dates(start_date=none, end_date=none, n_dateparts=none, datepart='day') -%}
{%- if start_date and end_date -%}
{{ dbt_utils.date_spine(datepart, "'" ~ start_date ~ "'", "'" ~ end_date ~ "'") }}
{%- else -%}
{{ dbt_utils.date_spine(datepart, "current_date() - interval '" ~ n_dateparts ~ " " ~ datepart ~ "'", "current_date() + interval '1 " ~ datepart ~ "'") }}
{%- endif -%}
{%- endmacro %}
