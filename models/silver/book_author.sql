-- A book may have several authors: one row each, in the order of the title page.
with listed as (
    select isbn, string_to_array(authors, ';') as names
    from silver.book
),

numbered as (
    select isbn, names, unnest(range(1, cast(array_length(names) as bigint) + 1)) as position
    from listed
)

select isbn, cast(position as int) as position, trim(names[position]) as author_name
from numbered
