{#- Of the package dbt_utils what needs no look into the warehouse. -#}

{#- The same keys as dbt's own: md5 over the fields as text, a mark in the place of a missing one. -#}
{% macro generate_surrogate_key(field_list) -%}
md5({% for field in field_list %}coalesce(cast({{ field }} as varchar), '_dbt_utils_surrogate_key_null_'){% if not loop.last %} || '-' || {% endif %}{% endfor %})
{%- endmacro %}

{#- The end does not belong to it. Each step is counted from the start: a month from the 31st is not the 29th ever after. -#}
{% macro date_spine(datepart, start_date, end_date) -%}
{%- set start = 'cast(' ~ start_date ~ ' as timestamp)' -%}
select moment as date_{{ datepart }} from (
select {{ dbt.dateadd(datepart, 'step', start) }} as moment from (select unnest(generate_series(0, {{ dbt.datediff(start_date, end_date, datepart) }} + 1)) as step) as steps
) as spine where moment < cast({{ end_date }} as timestamp)
{%- endmacro %}

{% macro star(from, relation_alias=none, except=[], prefix='', suffix='', quote_identifiers=true) -%}
{%- if relation_alias is none or prefix or suffix -%}
{{ exceptions.raise_compiler_error("columns are not known while SQL is made: give `dbt_utils.star` a relation_alias and neither prefix nor suffix, or write `* exclude (a, b)`") }}
{%- endif -%}
{{ relation_alias }}.*{% if except %} exclude ({{ except | join(', ') }}){% endif %}
{%- endmacro %}

{% macro group_by(n) -%} group by {% for i in range(1, n + 1) %}{{ i }}{% if not loop.last %}, {% endif %}{% endfor %} {%- endmacro %}

{% macro pivot(column, values, alias=true, agg='sum', cmp='=', prefix='', suffix='', then_value=1, else_value=0, quote_identifiers=true, distinct=false) -%}
{% for value in values %}{{ agg }}({% if distinct %}distinct {% endif %}case when {{ column }} {{ cmp }} '{{ value | replace("'", "''") }}' then {{ then_value }} else {{ else_value }} end){% if alias %} as {% if quote_identifiers %}"{{ prefix ~ value ~ suffix }}"{% else %}{{ prefix ~ value ~ suffix }}{% endif %}{% endif %}{% if not loop.last %}, {% endif %}{% endfor %}
{%- endmacro %}

{% macro deduplicate(relation, partition_by, order_by) -%}
select distinct on ({{ partition_by }}) * from {{ relation }} order by {{ partition_by }}, {{ order_by }}
{%- endmacro %}

{% macro safe_add(field_list) -%} {% for field in field_list %}coalesce({{ field }}, 0){% if not loop.last %} + {% endif %}{% endfor %} {%- endmacro %}
{% macro safe_subtract(field_list) -%} {% for field in field_list %}coalesce({{ field }}, 0){% if not loop.last %} - {% endif %}{% endfor %} {%- endmacro %}
{% macro safe_divide(numerator, denominator) -%} ({{ numerator }}) / nullif(({{ denominator }}), 0) {%- endmacro %}
