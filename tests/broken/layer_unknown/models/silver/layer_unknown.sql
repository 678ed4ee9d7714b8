select id from silvr.good
