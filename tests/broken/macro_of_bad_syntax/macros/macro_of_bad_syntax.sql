
{% macro bad_syntax(a) %}
  {{ a + }}
{% endmacro %}
