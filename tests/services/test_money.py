"""Money on the wire is the Decimal, to the last digit."""

from decimal import Decimal

import pytest
from google.type.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as st

from services.money import from_money, to_money

UNITS = 2**63

amounts = st.builds(lambda nanos: Decimal(nanos).scaleb(-9), st.integers(1 - 10**27, 10**27 - 1))
moneys = st.builds(
    lambda sign, units, nanos: Money(currency_code="EUR", units=sign * units, nanos=sign * nanos),
    st.sampled_from([1, -1]),
    st.integers(0, UNITS - 1),
    st.integers(0, 999_999_999),
)


@given(amounts)
def test_an_amount_comes_back_as_it_was(amount: Decimal) -> None:
    money = to_money(amount, "GBP")
    assert from_money(money) == amount
    assert money.currency_code == "GBP"


@given(moneys)
def test_money_comes_back_as_it_was(money: Money) -> None:
    assert to_money(from_money(money), "EUR") == money


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=1 - UNITS, max_value=UNITS - 1))
def test_any_amount_is_exact_or_refused(amount: Decimal) -> None:
    try:
        money = to_money(amount, "GBP")
    except ValueError:
        assert amount.as_integer_ratio()[1] not in {2**twos * 5**fives for twos in range(10) for fives in range(10)}
    else:
        assert from_money(money) == amount
        assert money.units * money.nanos >= 0, "units and nanos have the same sign"
        assert abs(money.nanos) < 10**9


@pytest.mark.parametrize(
    "amount",
    [
        "0.0000000001",
        "1.2345678901",
        "0.1234567890000000000000000000001",  # more digits than Decimal computes with
        "9223372036854775808",
        "NaN",
    ],
)
def test_what_money_cannot_say_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        to_money(Decimal(amount), "GBP")
