select id from lake.silver.good
