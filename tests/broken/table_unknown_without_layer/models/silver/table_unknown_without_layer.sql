select b.id
from boooks b
