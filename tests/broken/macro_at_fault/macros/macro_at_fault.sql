{% macro outer_one(a) %}{{ inner_one(a) }}{% endmacro %}

{% macro inner_one(a) %}
  {{ a }} é {{ missing_one }}
{% endmacro %}
