-- one block that goes on and on
 {% snapshot open_history %}
select id, title from bronze.books
