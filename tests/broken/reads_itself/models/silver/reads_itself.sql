select id from silver.reads_itself
