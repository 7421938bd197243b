"""Why sales refuses."""

from collections.abc import Mapping
from uuid import UUID


class SaleRefusedError(Exception):
    """A sale breaks a rule; `lines` says which of its lines, counted from 0, and how."""

    def __init__(self, message: str, lines: Mapping[int, str]) -> None:
        super().__init__(message)
        self.lines = lines


class CurrencyUnknownError(SaleRefusedError):
    """A price is in no currency of ISO 4217."""

    def __init__(self, currency_code: str, lines: Mapping[int, str]) -> None:
        super().__init__(f"no currency {currency_code}", lines)
        self.currency_code = currency_code


class CurrenciesMixedError(SaleRefusedError):
    """The prices of one sale are in several currencies."""

    def __init__(self, currencies: list[str], lines: Mapping[int, str]) -> None:
        super().__init__(f"currencies {', '.join(currencies)}", lines)
        self.currencies = currencies


class TotalTooLargeError(Exception):
    """The total of a sale is beyond what money can say."""


class SaleNotFoundError(Exception):
    """There is no such sale."""

    def __init__(self, sale_id: UUID) -> None:
        super().__init__(f"no sale {sale_id}")
        self.sale_id = sale_id


class RequestIdReusedError(Exception):
    """The request id stands for another sale."""

    def __init__(self, request_id: UUID) -> None:
        super().__init__(f"request {request_id} was another sale")
        self.request_id = request_id
