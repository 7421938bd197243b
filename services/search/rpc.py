"""The gRPC adapter of search."""

from typing import Any

import grpc
from retail.search.v1.error_reason_pb2 import ErrorReason
from retail.search.v1.search_service_pb2 import ProductHit, SearchProductsRequest, SearchProductsResponse
from retail.search.v1.search_service_pb2_grpc import SearchServiceServicer

import mesh
from mesh import aip
from services.money import to_money
from services.search.domain.products import Catalogue, Hit, IndexUnavailableError, ListingExpiredError, Place
from services.search.domain.search import ProductSearch

_RETRY_SECONDS = 1.0

error = mesh.errors(ErrorReason)


class SearchRpc(SearchServiceServicer):
    def __init__(self, products: ProductSearch, currency_code: str) -> None:
        self._products = products
        self._currency_code = currency_code

    async def SearchProducts(
        self, request: SearchProductsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> SearchProductsResponse:
        size = aip.page_size(request.page_size, default=10, maximum=100)
        try:
            page = await self._products.search(request.query, size, _place(request))
        except IndexUnavailableError:
            raise error(ErrorReason.ERROR_REASON_INDEX_UNAVAILABLE, retry_after=_RETRY_SECONDS) from None
        except ListingExpiredError:
            raise error(ErrorReason.ERROR_REASON_PAGE_TOKEN_EXPIRED) from None
        return SearchProductsResponse(
            hits=[self._hit(hit) for hit in page.hits],
            next_page_token="" if page.next is None else _page_token(request, page.next),
            total_size=page.total,
            table_version=page.catalogue.version,
        )

    def _hit(self, hit: Hit) -> ProductHit:
        product = hit.product
        return ProductHit(
            stock_code=product.stock_code,
            description=product.description,
            unit_price=None if product.unit_price is None else to_money(product.unit_price, self._currency_code),
            score=hit.score,
        )


def _page_token(request: SearchProductsRequest, place: Place) -> str:
    return aip.page_token(request, [place.catalogue.version, place.catalogue.committed, place.offset])


def _place(request: SearchProductsRequest) -> Place | None:
    cursor = aip.read_page_token(request, _natural, _natural, _natural)
    if cursor is None:
        return None
    version, committed, offset = cursor
    return Place(Catalogue(version, committed), offset)


def _natural(value: int) -> int:
    """Raises ValueError for what no page token of ours holds."""
    if not 0 <= value < 2**63:
        raise ValueError(value)
    return value
