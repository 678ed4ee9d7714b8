select id,
  {{ surrogate('id') }} as k from bronze.books
