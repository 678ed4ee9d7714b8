select * from batch
