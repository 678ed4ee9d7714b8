{% set rows = run_query('select 1') %}
select id from silver.good
