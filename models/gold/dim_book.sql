select
    isbn as book_key, title, language, coalesce(genre, 'unknown') as genre, published_year, list_price, pages
from silver.book
