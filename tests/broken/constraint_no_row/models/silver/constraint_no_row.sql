select id, title from bronze.books
