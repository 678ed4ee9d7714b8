select id from bronze.books where
