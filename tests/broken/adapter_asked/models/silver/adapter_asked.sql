{% for c in adapter.get_columns_in_relation(ref('good')) %}{% endfor %}
select id from silver.good
