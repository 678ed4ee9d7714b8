select id,
  'open as state
from bronze.books
