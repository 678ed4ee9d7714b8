select id
from gold.top
