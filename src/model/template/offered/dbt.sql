{#- What dbt itself offers over dialects, in DataFusion's SQL. -#}

{% macro date_trunc(datepart, date) -%} date_trunc('{{ datepart }}', {{ date }}) {%- endmacro %}

{#- The interval is any expression; a day has no hours. -#}
{% macro dateadd(datepart, interval, from_date_or_timestamp) -%}
({% if datepart in ['hour', 'minute', 'second'] %}cast({{ from_date_or_timestamp }} as timestamp){% else %}{{ from_date_or_timestamp }}{% endif %} + cast(cast(({{ interval }}){% if datepart == 'quarter' %} * 3{% endif %} as varchar) || ' {{ 'month' if datepart == 'quarter' else datepart }}' as interval))
{%- endmacro %}

{#- Borders between the two, as in dbt: of days and longer by the calendar, of hours and shorter by the clock. -#}
{% macro datediff(first_date, second_date, datepart) -%}
{%- set lengths = {'week': 604800, 'day': 86400, 'hour': 3600, 'minute': 60, 'second': 1} -%}
{%- set months = {'year': 12, 'quarter': 3, 'month': 1} -%}
{%- if datepart in lengths -%}
(cast(round((date_part('epoch', date_trunc('{{ datepart }}', cast({{ second_date }} as timestamp))) - date_part('epoch', date_trunc('{{ datepart }}', cast({{ first_date }} as timestamp)))) / {{ lengths[datepart] }}) as bigint))
{%- elif datepart in months -%}
(cast((date_part('year', cast({{ second_date }} as timestamp)) - date_part('year', cast({{ first_date }} as timestamp))) * {{ 12 // months[datepart] }}{% if datepart != 'year' %} + date_part('{{ datepart }}', cast({{ second_date }} as timestamp)) - date_part('{{ datepart }}', cast({{ first_date }} as timestamp)){% endif %} as bigint))
{%- else -%}
{{ exceptions.raise_compiler_error("dbt.datediff counts years, quarters, months, weeks, days, hours, minutes or seconds, not `" ~ datepart ~ "`") }}
{%- endif -%}
{%- endmacro %}

{% macro last_day(date, datepart) -%}
cast(date_trunc('{{ datepart }}', {{ date }}) + interval '{{ 3 if datepart == 'quarter' else 1 }} {{ 'month' if datepart == 'quarter' else datepart }}' - interval '1 day' as date)
{%- endmacro %}

{% macro current_timestamp() -%} now() {%- endmacro %}
{% macro safe_cast(field, type) -%} try_cast({{ field }} as {{ type }}) {%- endmacro %}
{% macro cast(field, type) -%} cast({{ field }} as {{ type }}) {%- endmacro %}
{% macro concat(fields) -%} {{ fields | join(' || ') }} {%- endmacro %}
{% macro hash(field) -%} md5(cast({{ field }} as varchar)) {%- endmacro %}
{% macro length(expression) -%} length({{ expression }}) {%- endmacro %}
{% macro position(substring_text, string_text) -%} strpos({{ string_text }}, {{ substring_text }}) {%- endmacro %}
{% macro replace(field, old_chars, new_chars) -%} replace({{ field }}, {{ old_chars }}, {{ new_chars }}) {%- endmacro %}
{% macro right(string_text, length_expression) -%} right({{ string_text }}, {{ length_expression }}) {%- endmacro %}
{% macro split_part(string_text, delimiter_text, part_number) -%} split_part({{ string_text }}, {{ delimiter_text }}, {{ part_number }}) {%- endmacro %}
{% macro string_literal(value) -%} '{{ value }}' {%- endmacro %}
{% macro escape_single_quotes(expression) -%} {{ expression | replace("'", "''") }} {%- endmacro %}
{% macro bool_or(expression) -%} bool_or({{ expression }}) {%- endmacro %}
{% macro listagg(measure, delimiter_text="','") -%} string_agg({{ measure }}, {{ delimiter_text }}) {%- endmacro %}
{% macro except() -%} except {%- endmacro %}
{% macro intersect() -%} intersect {%- endmacro %}

{% macro type_string() -%} varchar {%- endmacro %}
{% macro type_int() -%} int {%- endmacro %}
{% macro type_bigint() -%} bigint {%- endmacro %}
{% macro type_float() -%} double {%- endmacro %}
{% macro type_numeric() -%} decimal(28, 6) {%- endmacro %}
{% macro type_boolean() -%} boolean {%- endmacro %}
{% macro type_timestamp() -%} timestamp {%- endmacro %}
