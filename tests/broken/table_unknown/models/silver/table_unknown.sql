select *
from bronze.bookz
