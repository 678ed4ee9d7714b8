select id from circle_one
