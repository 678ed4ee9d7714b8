select id from {{ source('shop', 'bookz') }}
