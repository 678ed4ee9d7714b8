-- The key is made of the name, so it is the same after every rebuild.
select distinct md5(lower(author_name)) as author_key, author_name
from silver.book_author
