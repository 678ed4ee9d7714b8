select id
frm bronze.books
