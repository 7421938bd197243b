"""Money between Decimal and the contract's google.type.Money, exactly: no float is ever made."""

from decimal import Decimal

from google.type.money_pb2 import Money

_NANOS = 10**9


def to_money(amount: Decimal, currency_code: str) -> Money:
    """Whole units and nanos of the same sign.

    Raises ValueError for a fraction finer than a nano and for more units than an int64 holds.
    """
    numerator, denominator = amount.as_integer_ratio()
    total, finer = divmod(abs(numerator) * _NANOS, denominator)
    if finer:
        raise ValueError(f"{amount} is finer than a billionth")
    units, nanos = divmod(total, _NANOS)
    sign = -1 if numerator < 0 else 1
    return Money(currency_code=currency_code, units=sign * units, nanos=sign * nanos)


def from_money(money: Money) -> Decimal:
    return Decimal(money.units * _NANOS + money.nanos).scaleb(-9)
