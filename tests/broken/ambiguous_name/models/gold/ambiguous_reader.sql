select id
  from ambiguous
