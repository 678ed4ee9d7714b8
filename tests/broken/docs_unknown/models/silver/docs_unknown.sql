select id from silver.good
