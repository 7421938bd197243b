"""Sales between the contract's messages and the domain."""

from google.protobuf.timestamp_pb2 import Timestamp
from retail.sales.v1 import sales_service_pb2 as messages

from services.money import from_money, to_money
from services.sales.domain.sale import Item, NewSale, Sale, SaleState

STATES = {
    SaleState.RECORDED: messages.SaleState.SALE_STATE_RECORDED,
    SaleState.CANCELLED: messages.SaleState.SALE_STATE_CANCELLED,
    SaleState.RETURNED: messages.SaleState.SALE_STATE_RETURNED,
}


def new_sale(given: messages.Sale) -> NewSale:
    """What the caller may say of a sale; the output-only fields are not looked at."""
    return NewSale(given.customer_id, given.country, tuple(_item(line) for line in given.lines))


def _item(line: messages.SaleLine) -> Item:
    price = line.unit_price
    return Item(line.stock_code, line.description, line.quantity, from_money(price), price.currency_code)


def sale_message(sale: Sale) -> messages.Sale:
    create_time, update_time = Timestamp(), Timestamp()
    create_time.FromDatetime(sale.create_time)
    update_time.FromDatetime(sale.update_time)
    return messages.Sale(
        sale_id=str(sale.sale_id),
        customer_id=sale.customer_id,
        country=sale.country,
        lines=[
            messages.SaleLine(
                line_number=line.number,
                stock_code=line.stock_code,
                description=line.description,
                quantity=line.quantity,
                unit_price=to_money(line.unit_price, sale.currency_code),
                amount=to_money(line.amount, sale.currency_code),
            )
            for line in sale.lines
        ],
        total=to_money(sale.total, sale.currency_code),
        state=STATES[sale.state],
        version=sale.version,
        create_time=create_time,
        update_time=update_time,
    )
