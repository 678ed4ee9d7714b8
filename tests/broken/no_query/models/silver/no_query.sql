-- away with it
drop table silver.good
