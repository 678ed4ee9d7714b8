-- Applied to every micro-batch of the stream before it is written. The till sends a test sale each morning.
select * from batch where channel is distinct from 'test'
