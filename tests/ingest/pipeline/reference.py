"""docs/dialect.md and the gold tables of docs/lake.md in plain Python, one row after the other."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

BLANKS = " \t\n\f\r"
_DAY = r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
_MINUTE = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})"
_TIMES = (
    rf"{_DAY}[ T]{_MINUTE}:(?P<second>[0-9]{{2}})",
    rf"{_DAY} {_MINUTE}",
    r"(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})/(?P<year>[0-9]{4}) (?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})",
)


class Sale(NamedTuple):
    invoice_no: str
    stock_code: str
    description: str | None
    quantity: int
    invoice_time: datetime
    unit_price: Decimal
    customer_id: str | None
    country: str

    @property
    def kind(self) -> str:
        if self.invoice_no.startswith("C"):
            return "CANCELLATION"
        return "ADJUSTMENT" if self.invoice_no.startswith("A") or self.quantity < 0 else "SALE"

    @property
    def is_product(self) -> bool:
        return bool(re.match(r"[0-9]{5}|DCGS", self.stock_code)) or self.stock_code == "PADS"

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.unit_price

    @property
    def date(self) -> date:
        return self.invoice_time.date()

    @property
    def month(self) -> str:
        return f"{self.invoice_time:%Y-%m}"


def cleaned(row: Sequence[str]) -> Sale | str:
    """The sale, or the reason why the row is quarantined."""
    invoice, stock, description, quantity, time, price, customer, country = (text.strip(BLANKS) for text in row)
    letter = invoice[:1].upper()
    pieces = int(quantity.partition(".")[0]) if re.fullmatch(r"[+-]?[0-9]{1,10}(\.0*)?", quantity) else 0
    moment = _moment(time)
    amount = Decimal(price) if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", price) else Decimal("inf")
    broken = {
        "INVOICE_INVALID": not re.fullmatch("[CAca]?[0-9]{6}", invoice),
        "STOCK_CODE_INVALID": not re.fullmatch("[A-Za-z0-9 ._-]{1,32}", stock),
        "QUANTITY_INVALID": pieces == 0 or not -(2**31) <= pieces < 2**31 or (letter == "C" and pieces > 0),
        "DATE_INVALID": moment is None or not 1990 <= moment.year <= 2100,
        "PRICE_INVALID": abs(amount) >= 10**9 or amount != round(amount, 4) or (amount < 0 and letter != "A"),
        "CUSTOMER_INVALID": customer != "" and not re.fullmatch(r"[0-9]{1,10}(\.0*)?", customer),
        "COUNTRY_INVALID": not 1 <= len(country) <= 64,
    }
    if reason := next((reason for reason, is_broken in broken.items() if is_broken), None):
        return reason
    assert moment is not None
    words = re.sub(f"[{BLANKS}]+", " ", description)[:256] or None
    customer_id = customer.partition(".")[0] or None
    return Sale(invoice.upper(), stock.upper(), words, pieces, moment, amount, customer_id, country)


def _moment(text: str) -> datetime | None:
    for form in _TIMES:
        if found := re.fullmatch(form, text):
            try:
                return datetime(**{name: int(digits) for name, digits in found.groupdict().items()}, tzinfo=UTC)
            except ValueError:
                return None
    return None


def gold(rows: Iterable[Sale]) -> dict[str, list[dict[str, Any]]]:
    """The tables but fact_sale, from sales that are all different."""
    facts = list(rows)
    days = [fact.date for fact in facts]
    products, customers, countries, months = (
        _grouped(facts, *names) for names in (["stock_code"], ["customer_id"], ["country"], ["month", "country"])
    )
    customers.pop((None,), None)
    return {
        "gold/dim_product": [{"stock_code": code} | _product(lines) for (code,), lines in products.items()],
        "gold/dim_customer": [
            {"customer_id": customer} | _customer(lines, max(days)) for (customer,), lines in customers.items()
        ],
        "gold/dim_country": [
            {
                "country": country,
                "first_date": min(line.date for line in lines),
                "last_date": max(line.date for line in lines),
                "customer_count": len({line.customer_id for line in lines} - {None}),
                "revenue": sum(line.amount for line in lines),
            }
            for (country,), lines in countries.items()
        ],
        "gold/dim_date": [_day(min(days) + timedelta(days=n)) for n in range((max(days) - min(days)).days + 1)],
        "gold/monthly_revenue": [
            {
                "month": month,
                "country": country,
                "revenue": sum(line.amount for line in lines),
                "quantity": sum(line.quantity for line in lines),
                "invoice_count": len({line.invoice_no for line in lines}),
                "row_count": len(lines),
            }
            for (month, country), lines in months.items()
        ],
    }


def _grouped(facts: Sequence[Sale], *names: str) -> dict[tuple[Any, ...], list[Sale]]:
    groups = defaultdict(list)
    for fact in facts:
        groups[tuple(getattr(fact, name) for name in names)].append(fact)
    return groups


def _product(lines: Sequence[Sale]) -> dict[str, Any]:
    sales = [line for line in lines if line.kind == "SALE"]
    uses = Counter(line.description for line in sales if line.description)
    last = {name: max(line.invoice_time for line in sales if line.description == name) for name in uses}
    priced = [(line.invoice_time, line.unit_price) for line in sales if line.unit_price]
    return {
        "description": max(uses, key=lambda name: (uses[name], last[name], name), default=None),
        "is_product": lines[0].is_product,
        "unit_price": max(priced)[1] if priced else None,
        "units_sold": sum(line.quantity for line in lines),
        "first_sold": min((line.date for line in sales), default=None),
        "last_sold": max((line.date for line in sales), default=None),
    }


def _customer(lines: Sequence[Sale], newest: date) -> dict[str, Any]:
    sales = [line for line in lines if line.kind == "SALE"]
    last = max((line.date for line in sales), default=None)
    return {
        "country": max((line.invoice_time, line.invoice_no, line.country) for line in lines)[2],
        "first_order": min((line.date for line in sales), default=None),
        "last_order": last,
        "invoice_count": len({line.invoice_no for line in sales}),
        "revenue": sum(line.amount for line in lines),
        "recency_days": (newest - last).days if last else None,
    }


def _day(day: date) -> dict[str, Any]:
    return {
        "date": day,
        "year": day.year,
        "quarter": (day.month + 2) // 3,
        "month": f"{day:%Y-%m}",
        "day": day.day,
        "iso_week": day.isocalendar().week,
        "day_of_week": day.isoweekday(),
    }
