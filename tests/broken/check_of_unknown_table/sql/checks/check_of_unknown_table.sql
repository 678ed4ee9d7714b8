select * from gold.topp
