{{ config(pre_hook='grant') }}select id from silver.good
