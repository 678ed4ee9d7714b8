select id from bronze.books
{% if true %}where id > 1
