"""`order_by` fields (AIP-132): https://google.aip.dev/132#ordering."""

from collections.abc import Collection
from dataclasses import dataclass

from mesh.aip.filters import unknown_field
from mesh.error import Error, errors
from mesh.v1 import error_reason_pb2

error = errors(error_reason_pb2.ErrorReason)


@dataclass(frozen=True)
class Order:
    field: str
    descending: bool = False

    def __str__(self) -> str:
        return f"{self.field} desc" if self.descending else self.field


def parse_order_by(text: str, allowed: Collection[str]) -> list[Order]:
    """Reads for example `total desc, create_time`; an empty or blank text is no order.

    Raises ORDER_BY_INVALID for a field that is not allowed or named twice, and for what is not of this form.
    """
    if not text.strip():
        return []
    orders: list[Order] = []
    for item in text.split(","):
        match item.split():
            case [field] | [field, "asc"]:
                order = Order(field)
            case [field, "desc"]:
                order = Order(field, descending=True)
            case []:
                raise _invalid("a field is missing beside a comma")
            case _:
                raise _invalid(f"'{item.strip():.64}' is not a field, or a field and desc")
        if order.field not in allowed:
            raise _invalid(unknown_field(order.field, allowed))
        if order.field in {earlier.field for earlier in orders}:
            raise _invalid(f"'{order.field}' is named twice")
        orders.append(order)
    return orders


def _invalid(problem: str) -> Error:
    return error(error_reason_pb2.ERROR_REASON_ORDER_BY_INVALID, problem=problem, fields={"order_by": problem})
