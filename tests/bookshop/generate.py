#!/usr/bin/env python3
"""Makes the bookshop's data: data/catalogue.csv, data/customers.jsonl, data/sales.csv.

    python3 tests/bookshop/generate.py [FOLDER]      default: data/

Seeded and self-contained (its own random numbers), so every run writes the same bytes. The dirt is on purpose and
counted below; `golden.py` works out what must be left after cleaning.

    catalogue.csv   UTF-8 with BOM, CRLF, quoted newlines, doubled quotes, blanks around cells, empty cells, exact
                    duplicates, Greek and Cyrillic titles, several authors in a cell, 2 ragged rows
    customers.jsonl typed, 2 lines that are no JSON, 3 with a value of the wrong type, 1 field that
                    nobody declared, later lines that correct earlier ones
    sales.csv       two years, exact duplicates, returns, late rows, 12 rows of the till's self-test, 3 ragged rows,
                    1 row with a byte that is no UTF-8, and rows that break a rule: unknown book, quantity 0,
                    a price that is no number, a day that does not exist
"""
import datetime
import json
import os
import sys

SEED = 20240101


class Random:
    """Knuth's MMIX congruence; the high bits are good enough for a shop."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n

    def pick(self, items):
        return items[self.below(len(items))]

    def chance(self, one_in):
        return self.below(one_in) == 0


ADJECTIVES = ["Quiet", "Amber", "Northern", "Hollow", "Patient", "Copper", "Restless", "Winter", "Paper", "Distant",
              "Crooked", "Silver", "Late", "Narrow", "Salt", "Forgotten", "Green", "Sleeping", "Second", "Burning"]
NOUNS = ["Harbour", "Clockmaker", "Orchard", "Lighthouse", "Cartographer", "River", "Archive", "Garden", "Bridge",
         "Weaver", "Station", "Island", "Letter", "Beekeeper", "Tower", "Ferry", "Mill", "Observatory", "Road", "Choir"]
GREEK = ["Η σιωπή του λιμανιού", "Το μικρό φως", "Δρόμοι του χειμώνα", "Ο χάρτης της θάλασσας", "Γράμματα από το νησί"]
CYRILLIC = ["Тихая гавань", "Дорога к маяку", "Зимний сад", "Письма с острова", "Старая мельница"]
FIRST = ["Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Farah", "Goran", "Hanna", "Ivo", "Jun", "Katya", "Lars", "Mina",
         "Nikos", "Oona", "Pavel", "Rosa", "Sami", "Tove", "Yusuf"]
LAST = ["Aalto", "Berg", "Castellan", "Dragov", "Ekholm", "Fontaine", "Galanis", "Horvat", "Ilves", "Jansen", "Kovač",
        "Lindqvist", "Marchetti", "Novák", "O'Hara", "Petrenko", "Quist", "Ríos", "Şahin", "Tanaka"]
GENRES = ["Novel", "Mystery", "Travel", "History", "Poetry", "Science", "Children", "Cookery"]
CITIES = [("Lisbon", "PT"), ("Ghent", "BE"), ("Kraków", "PL"), ("Tartu", "EE"), ("Porto", "PT"), ("Θεσσαλονίκη", "GR"),
          ("Aarhus", "DK"), ("Graz", "AT"), ("Lyon", "FR"), ("Cork", "IE")]
CHANNELS = ["shop", "web", "web", "phone"]


def isbn(number):
    digits = "978" + f"{number:09d}"
    total = sum(int(d) * (1 if i % 2 == 0 else 3) for i, d in enumerate(digits))
    return digits + str((10 - total % 10) % 10)


def cell(text, delimiter=","):
    if any(c in text for c in f'{delimiter}"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def catalogue(r):
    authors = [f"{first} {last}" for first in FIRST for last in LAST if r.chance(3)]
    books, lines = [], []
    for n in range(420):
        title = f"The {r.pick(ADJECTIVES)} {r.pick(NOUNS)}"
        language = "en"
        if n % 28 == 5:
            title, language = r.pick(GREEK) + f" {n}", "el"
        elif n % 28 == 19:
            title, language = r.pick(CYRILLIC) + f" {n}", "ru"
        elif n % 40 == 7:
            title = f"{title}:\nA Story in {n % 9 + 2} Parts"
        elif n % 40 == 21:
            title = f'"{title}" and Other Tales, Volume {n % 5 + 1}'
        written_by = [r.pick(authors) for _ in range(1 + (r.below(6) == 0) + (r.below(12) == 0))]
        written_by = list(dict.fromkeys(written_by))
        cents = 499 + r.below(3500)
        year = 1950 + r.below(75)
        genre = "" if r.chance(9) else r.pick(GENRES)
        pages = "" if r.chance(14) else str(80 + r.below(700))
        shown = f" {title} " if n % 33 == 4 else title
        row = [isbn(100000 + 37 * n), shown, "; ".join(written_by), str(year), language, genre,
               f"{cents // 100}.{cents % 100:02d}", pages]
        books.append((row[0], cents))
        lines.append(",".join(cell(c) for c in row))
    for n in (40, 41, 200, 333):
        lines.insert(n + 10, lines[n])
    lines.insert(100, f"{isbn(999001)},A Row Too Short,Nobody")
    lines.insert(300, f"{isbn(999002)},A Row Too Long,Nobody,1999,en,Novel,9.99,100,what,is,this")
    header = "isbn,title,authors,published,language,genre,list_price,pages"
    return books, "\ufeff" + "\r\n".join([header] + lines) + "\r\n"


def customers(r):
    lines, ids = [], []
    for n in range(1, 1201):
        city, country = r.pick(CITIES)
        person = {
            "customer_id": n,
            "name": f"{r.pick(FIRST)} {r.pick(LAST)}",
            "email": f"reader{n}@example.org" if not r.chance(10) else None,
            "joined": (datetime.date(2019, 1, 1) + datetime.timedelta(days=r.below(1800))).isoformat(),
            "newsletter": r.chance(2),
            "city": city,
            "country": country,
        }
        ids.append(n)
        lines.append(json.dumps(person, ensure_ascii=False))
        if n == 600:
            lines.append(json.dumps(dict(person, customer_id=9001, nickname="Bookworm"), ensure_ascii=False))
            ids.append(9001)
        if n % 150 == 0:
            city, country = r.pick(CITIES)
            lines.append(json.dumps(dict(person, city=city, country=country), ensure_ascii=False))
    lines.insert(77, '{"customer_id": 9101, "name": "Cut Sho')
    lines.insert(500, "customer 9102 is no JSON")
    lines.insert(250, '{"customer_id": "nine", "name": "Wrong Id", "joined": "2020-02-02", "newsletter": true}')
    lines.insert(700, '{"customer_id": 9104, "name": "Wrong Day", "joined": "some day", "newsletter": false}')
    lines.insert(900, '{"customer_id": 9105, "name": "Wrong Flag", "joined": "2020-02-02", "newsletter": "perhaps"}')
    return ids, "\n".join(lines) + "\n"


def money(cents):
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def sales(r, books, customer_ids):
    start = datetime.datetime(2024, 1, 2, 9, 0)
    minutes = 730 * 24 * 60
    lines = []
    total = 19900
    sold = []
    for n in range(total):
        at = start + datetime.timedelta(minutes=n * minutes // total + r.below(30))
        if r.chance(60):
            at -= datetime.timedelta(days=1 + r.below(20))
        book, cents = r.pick(books)
        who = "" if r.chance(6) else str(r.pick(customer_ids))
        quantity = 1 + (r.below(5) == 0) + (r.below(25) == 0) * r.below(8)
        discount = r.pick(["", "", "", "", "0.05", "0.10", "0.25"])
        price = cents if not r.chance(20) else max(99, cents - 100)
        kind = r.pick(CHANNELS)
        if sold and r.chance(45):
            book, price, quantity, who, discount = r.pick(sold)
            quantity = -quantity
        elif r.chance(30):
            sold.append((book, price, quantity, who, discount))
        row = [f"S{n + 1:06d}", at.strftime("%Y-%m-%d %H:%M:%S"), book, who, kind, str(quantity), money(price), discount]
        if n % 1650 == 800:
            row[4] = "test"
        if n % 4001 == 3000:
            row[2] = isbn(555000 + n)
        if n % 5003 == 2500:
            row[5] = "0"
        if n % 6007 == 1234:
            row[6] = "about ten"
        if n % 7001 == 6000:
            row[1] = "2024-02-30 12:00:00"
        lines.append(",".join(cell(c) for c in row))
    body = [line.encode() for line in lines]
    for n in range(150, total, 230):
        body.insert(n + 3, body[n])
    body.insert(4000, b"S900001,2024-05-05 10:00:00,short")
    body.insert(9000, b"S900002,2024-11-11 10:00:00," + books[0][0].encode() + b",7,shop,1,9.99,,,")
    body.insert(12000, b"S900003")
    body.insert(15000, b"S900004,2025-06-06 10:00:00," + books[1][0].encode() + b",,caf\xe9,1,9.99,")
    header = b"sale_id,sold_at,isbn,customer_id,channel,quantity,unit_price,discount"
    return b"\n".join([header] + body) + b"\n"


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "..", "data")
    r = Random(SEED)
    books, catalogue_text = catalogue(r)
    customer_ids, customers_text = customers(r)
    for name, content in (
        ("catalogue.csv", catalogue_text.encode()),
        ("customers.jsonl", customers_text.encode()),
        ("sales.csv", sales(r, books, customer_ids)),
    ):
        with open(os.path.join(folder, name), "wb") as out:
            out.write(content)


if __name__ == "__main__":
    main()
