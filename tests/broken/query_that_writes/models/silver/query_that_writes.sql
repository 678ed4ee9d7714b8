select 1 as id into other
