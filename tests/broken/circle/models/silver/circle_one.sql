select id
from silver.circle_two
