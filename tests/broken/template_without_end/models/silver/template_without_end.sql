select id
from {{ ref
