"""Money between Decimal and the contract's google.type.Money, exactly: no float is ever made."""

from decimal import Decimal

from google.type.money_pb2 import Money

_NANO = Decimal(1).scaleb(-9)


def to_money(amount: Decimal, currency_code: str) -> Money:
    """Whole units and nanos of the same sign. Raises ValueError for a fraction finer than a nano."""
    units = int(amount)
    nanos = (amount - units) / _NANO
    if nanos != int(nanos):
        raise ValueError(f"{amount} is finer than a billionth")
    return Money(currency_code=currency_code, units=units, nanos=int(nanos))


def from_money(money: Money) -> Decimal:
    return Decimal(money.units) + Decimal(money.nanos) * _NANO
