"""Puts the search service together. Tests swap parts here and nowhere else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from services.lakehouse import Lakehouse
from services.search.domain.search import ProductSearch
from services.search.rpc import SearchRpc
from services.search.settings import Settings
from services.search.store.indexes import ProductIndexes, Products
from services.search.store.products import LakeProducts


@contextlib.asynccontextmanager
async def bootstrap(settings: Settings, *, products: Products | None = None) -> AsyncIterator[SearchRpc]:
    """The service with its first index made, if the lake is there, and following the lake until the block ends."""
    indexes = ProductIndexes(products or LakeProducts(Lakehouse(settings.lakehouse_uri)), kept=settings.kept_indexes)
    await indexes.refresh()
    following = asyncio.create_task(indexes.follow(settings.poll_seconds), name="follow-dim-product")
    try:
        yield SearchRpc(ProductSearch(indexes), settings.currency_code)
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
