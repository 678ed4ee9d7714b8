-- a test of ours
{% test torn_query(model, column_name) %}
select {{ column_name }}
from {{ model }} where ) > 1
{% endtest %}
