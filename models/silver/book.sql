-- One row per ISBN: exact duplicates dropped, blanks and line breaks inside cells made one space.
with cleaned as (
    select
        trim(isbn) as isbn,
        trim(regexp_replace(title, '\s+', ' ', 'g')) as title,
        trim(authors) as authors,
        cast(nullif(trim(published), '') as int) as published_year,
        trim(language) as language,
        nullif(trim(genre), '') as genre,
        cast(nullif(trim(list_price), '') as decimal(10, 2)) as list_price,
        cast(nullif(trim(pages), '') as int) as pages,
        row_number() over (partition by trim(isbn) order by _source_row desc) as newest
    from bronze.catalogue
)
select isbn, title, authors, published_year, language, genre, list_price, pages
from cleaned
where newest = 1
