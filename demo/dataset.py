"""A made-up shop's invoices in the retail dialect, with every oddity of docs/dialect.md. One seed, one result."""

import csv
import gzip
import io
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
_COLUMNS_II = ("Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country")
Row = list[str]

_MONTHS = 6
_FIRST = datetime(2023, 7, 1)  # noqa: DTZ001 - the dialect's times have no zone
_COLOURS = (
    "RED",
    "BLUE",
    "IVORY",
    "PINK",
    "VINTAGE",
    "RETRO",
    "SMALL",
    "LARGE",
    "WOODEN",
    "GLASS",
    "CERAMIC",
    "SILVER",
)
_PATTERNS = ("HEART", "STAR", "POLKADOT", "PAISLEY", "TOADSTOOL", "DAISY", "UNION JACK", "CAFÉ", "ROSE", "ANIMAL")
_THINGS = ("LANTERN", "MUG", "CANDLE", "BUNTING", "TEA TOWEL", "CAKE STAND", "JIGSAW", "CLOCK", "HOOK", "LUNCH BOX")
_COUNTRIES = (("United Kingdom", 88), ("Germany", 3), ("France", 3), ("EIRE", 2), ("Spain", 1), ("Netherlands", 1),
              ("Portugal", 1), ("Unspecified", 1))  # fmt: skip
_NO_PRODUCTS = (("POST", "POSTAGE", "18.00"), ("DOT", "DOTCOM POSTAGE", "40.25"), ("C2", "CARRIAGE", "50.00"),
                ("M", "Manual", "1.25"), ("D", "Discount", "3.20"), ("BANK CHARGES", "Bank Charges", "15.00"),
                ("gift_0001_20", "Dotcomgiftshop Gift Voucher £20.00", "17.02"))  # fmt: skip
_NOTES = ("damaged?", "wet/rusty", "?", "sold as set, on dotcom", "")


def write(folder: Path, rows: int = 200_000, seed: int = 2011) -> list[Path]:
    """Writes six monthly files with `rows` rows in all, bad ones included; returns them in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    shop = _Shop(random.Random(seed))  # noqa: S311 - not for secrets
    bad = _bad_rows()
    share, rest = divmod(rows, _MONTHS)
    return [_write_month(folder, shop, bad, month, share + (month < rest)) for month in range(_MONTHS)]


def _write_month(folder: Path, shop: "_Shop", bad: Iterator[Row | str], month: int, count: int) -> Path:
    begin = _FIRST + timedelta(days=31 * month)
    american = month % 3 == 1  # month first, as the original has it
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n" if month % 2 else "\n")
    writer.writerow(_COLUMNS_II if month == 4 else COLUMNS)
    good = shop.rows(begin, american=american)
    for number in range(count):
        row = next(bad) if number % 997 == 500 else next(good)
        if isinstance(row, str):
            text.write(row + "\n")
        else:
            writer.writerow(row)
    # One month as an old spreadsheet saves it, the others in UTF-8, one of these with a byte order mark.
    content = text.getvalue().encode("cp1252" if month == 2 else "utf-8-sig" if month == 3 else "utf-8")
    name = f"{begin:%Y-%m}.csv"
    if month % 2 == 0:
        path = folder / name
        path.write_bytes(content)
    else:
        path = folder / f"{name}.gz"
        path.write_bytes(gzip.compress(content, compresslevel=6, mtime=0))
    return path


class _Shop:
    def __init__(self, random: random.Random) -> None:
        self._random = random
        self._products = [self._product(number) for number in range(1500)]
        self._invoice = 600_000

    def _product(self, number: int) -> tuple[str, str, str]:
        choose = self._random.choice
        code = f"{20000 + number * 3}{choose(('', '', '', 'A', 'B', 'b'))}"
        price = f"{self._random.choice((42, 85, 125, 165, 255, 295, 375, 495, 850, 1275)) / 100:.2f}"
        return code, f"{choose(_COLOURS)} {choose(_PATTERNS)} {choose(_THINGS)}", price

    def rows(self, begin: datetime, *, american: bool) -> Iterator[Row]:
        """Rows without end, invoice by invoice."""
        moment = begin
        while True:
            moment += timedelta(seconds=self._random.randint(20, 900))
            if moment >= begin + timedelta(days=30):
                moment = begin
            yield from self._invoice_rows(moment, american=american)

    def _invoice_rows(self, moment: datetime, *, american: bool) -> Iterator[Row]:
        pick = self._random
        self._invoice += 1
        kind = pick.random()
        letter = "C" if kind < 0.02 else "A" if kind < 0.023 else ""
        written_off = not letter and kind > 0.96
        when = f"{moment.month}/{moment.day}/{moment:%Y %H:%M}" if american else f"{moment:%Y-%m-%d %H:%M:%S}"
        customer = (
            "" if written_off or pick.random() < 0.25 else f"{pick.randint(12346, 18287)}{pick.choice(('', '.0'))}"
        )
        country = pick.choices([name for name, _ in _COUNTRIES], [weight for _, weight in _COUNTRIES])[0]
        for _ in range(1 if letter == "A" or written_off else pick.randint(1, 40)):
            code, description, price = self._line(letter)
            quantity = pick.choice((1, 1, 2, 3, 4, 6, 6, 12, 12, 24, 48))
            if letter == "C" or written_off:
                quantity = -quantity
            if written_off:
                description, price = pick.choice(_NOTES), "0.0"
            row = [f"{letter}{self._invoice}", code, description, str(quantity), when, price, customer, country]
            yield row
            if pick.random() < 0.01:
                yield list(row)  # an exact duplicate

    def _line(self, letter: str) -> tuple[str, str, str]:
        if letter == "A":
            return "B", "Adjust bad debt", f"-{self._random.randint(100, 9999)}.{self._random.randint(10, 99)}"
        if self._random.random() < 0.01:
            return self._random.choice(_NO_PRODUCTS)
        code, description, price = self._products[int(len(self._products) * self._random.random() ** 2)]
        odd = self._random.random()
        if odd < 0.05:
            code = code.lower()
        elif odd < 0.10:
            description = f" {description}  "
        elif odd < 0.11:
            description = f'{description}, "SET OF {self._random.randint(2, 9)}"'
        elif odd < 0.112:
            description = description.replace(" ", "\n", 1)
        elif odd < 0.116:
            price = "0.0"
        return code, description, price


def _bad_rows() -> Iterator[Row | str]:
    """Rows that are quarantined, at least one for each reason, over and over. One that is text is written as it is."""
    day = f"{_FIRST:%Y-%m-%d}"
    good = ["699999", "20000", "RED HEART MUG", "6", f"{day} 10:00:00", "2.55", "17850", "France"]

    def but(**changes: str) -> Row:
        return [changes.get(column, value) for column, value in zip(COLUMNS, good, strict=True)]

    while True:
        yield good[:5]
        yield [*good, "surplus"]
        yield f'699999,20000,"A QUOTE THAT NEVER CLOSES,6,{day} 10:00:00,2.55,17850,France'
        yield but(InvoiceNo="")
        yield but(InvoiceNo="X99")
        yield but(StockCode="")
        yield but(StockCode="<script>")
        yield but(Quantity="0")
        yield but(Quantity="six")
        yield but(Quantity="99999999999")
        yield but(InvoiceNo="C699999")
        yield but(InvoiceDate="2023-02-30 10:00:00")
        yield but(InvoiceDate="31/12/2023 10:00")
        yield but(InvoiceDate="1850-01-01 00:00:00")
        yield but(UnitPrice="free")
        yield but(UnitPrice="2.55555")
        yield but(UnitPrice="-2.55")
        yield but(UnitPrice="1e3")
        yield but(CustomerID="guest")
        yield but(Country=" ")
