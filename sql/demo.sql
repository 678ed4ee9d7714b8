select b.title, sum(s.quantity) as sold, sum(s.revenue) as revenue
from fact_sale s join dim_book b on b.book_key = s.book_key
group by b.title order by sold desc, b.title limit 5
