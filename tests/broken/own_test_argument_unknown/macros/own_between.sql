{% test own_between(model, column_name, low, high=9) %}
select 1 from {{ model }} where {{ column_name }} not between {{ low }} and {{ high }}
{% endtest %}
