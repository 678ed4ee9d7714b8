select count(* from bronze.books
