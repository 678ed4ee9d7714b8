select
  {% macro open_one(a) %}{{ a }}
