{% macro twin() %}1{% endmacro %}
{% macro twin() %}2{% endmacro %}
