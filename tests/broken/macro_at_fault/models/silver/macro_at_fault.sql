select {{ outer_one('id') }} as n from silver.good
