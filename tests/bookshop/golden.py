#!/usr/bin/env python3
"""Works out what the bookshop's tables must hold, with Python's csv, json and decimal instead of `lake`.

    python3 tests/bookshop/golden.py [FOLDER]

Prints one JSON object. The figures in tests/road/bookshop.rs were taken from here; nothing here reads what `lake` wrote.
"""
import csv
import datetime
import io
import json
import os
import re
import sys
from decimal import Decimal, InvalidOperation


def rows(folder, name):
    """(row or None when it has the wrong shape or encoding) per record of a CSV file."""
    raw = open(os.path.join(folder, name), "rb").read()
    text = raw.decode("utf-8-sig", errors="surrogateescape")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(reader)
    for cells in reader:
        undecodable = any(re.search("[\udc80-\udcff]", c) for c in cells)
        yield dict(zip(header, cells)) if len(cells) == len(header) and not undecodable else None


def book_rows(folder, figures):
    books = {}
    for row in rows(folder, "catalogue.csv"):
        figures["catalogue.rows"] += 1
        if row is None:
            figures["catalogue.rejected"] += 1
            continue
        books[row["isbn"]] = {k: re.sub(r"\s+", " ", v).strip() or None for k, v in row.items()}
    return books


def customer_rows(folder, figures):
    people = {}
    for line in open(os.path.join(folder, "customers.jsonl"), encoding="utf-8"):
        figures["customers.rows"] += 1
        try:
            person = json.loads(line)
            assert isinstance(person["customer_id"], int) and isinstance(person["newsletter"], bool)
            datetime.date.fromisoformat(person["joined"])
        except (ValueError, AssertionError):
            figures["customers.rejected"] += 1
            continue
        figures["customers.rescued"] += "nickname" in person
        people[person["customer_id"]] = person
    return people


def sale_rows(folder, figures, books):
    good, rejected = {}, {}
    for row in rows(folder, "sales.csv"):
        figures["sales.rows"] += 1
        if row is None:
            figures["sales.rejected"] += 1
            continue
        if row["channel"] == "test":
            figures["sales.filtered"] += 1
            continue
        try:
            row["at"] = datetime.datetime.fromisoformat(row["sold_at"])
            row["price"] = Decimal(row["unit_price"])
            row["n"] = int(row["quantity"])
            valid = row["n"] != 0 and row["isbn"] in books
        except (ValueError, InvalidOperation):
            valid = False
        (good if valid else rejected)[row["sale_id"]] = row
    return good, rejected


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "..", "data")
    figures = dict.fromkeys(
        [f"{name}.{what}" for name in ("catalogue", "customers", "sales") for what in ("rows", "rejected")]
        + ["customers.rescued", "sales.filtered"], 0)
    books = book_rows(folder, figures)
    people = customer_rows(folder, figures)
    sales, rejected = sale_rows(folder, figures, books)

    authors = {isbn: [a.strip() for a in book["authors"].split(";")] for isbn, book in books.items()}
    discount = {i: Decimal(s["discount"] or 0) for i, s in sales.items()}
    revenue = {i: s["n"] * s["price"] * (1 - discount[i]) for i, s in sales.items()}
    by_channel, by_author = {}, {}
    for i, s in sales.items():
        by_channel[s["channel"]] = by_channel.get(s["channel"], 0) + revenue[i]
        for author in authors[s["isbn"]]:
            by_author[author] = by_author.get(author, 0) + s["n"]
    best = sorted(by_author.items(), key=lambda item: (-item[1], item[0]))[:3]
    days = [s["at"].date() for s in sales.values()]
    figures.update({
        "book": len(books),
        "book.genre.null": sum(b["genre"] is None for b in books.values()),
        "book.pages.null": sum(b["pages"] is None for b in books.values()),
        "book.list_price.sum": str(sum(Decimal(b["list_price"]) for b in books.values())),
        "book.el": sum(b["language"] == "el" for b in books.values()),
        "author": len({a for names in authors.values() for a in names}),
        "book_author": sum(len(names) for names in authors.values()),
        "customer": len(people),
        "customer.email.null": sum(p["email"] is None for p in people.values()),
        "customer.by_city": {c: sum(p["city"] == c for p in people.values()) for c in sorted({p["city"] for p in people.values()})},
        "sale": len(sales),
        "sale_rejected": len(rejected),
        "sale.returns": sum(s["n"] < 0 for s in sales.values()),
        "sale.quantity": sum(s["n"] for s in sales.values()),
        "sale.walk_in": sum(s["customer_id"] == "" for s in sales.values()),
        "sale.revenue": f"{sum(revenue.values()):.4f}",
        "sale.revenue.by_channel": {c: f"{v:.4f}" for c, v in sorted(by_channel.items())},
        "sale.first_day": str(min(days)),
        "sale.last_day": str(max(days)),
        "date": (max(days) - min(days)).days + 1,
        "best_authors": best,
    })
    print(json.dumps(figures, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
