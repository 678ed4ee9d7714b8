select isbn as book_key, md5(lower(author_name)) as author_key, position
from silver.book_author
