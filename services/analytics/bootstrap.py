"""Puts the analytics service together. Tests swap parts here and nowhere else."""

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from services.analytics.domain.analytics import Analytics
from services.analytics.rpc import AnalyticsRpc
from services.analytics.settings import Settings
from services.analytics.store.edition_facts import Limits
from services.analytics.store.engine import Engine
from services.analytics.store.lake import GoldLake
from services.lakehouse import Lakehouse


@contextlib.asynccontextmanager
async def bootstrap(settings: Settings) -> AsyncIterator[AnalyticsRpc]:
    """The service; the lake need not be there yet. Its threads and files end with the block."""
    with contextlib.ExitStack() as stack:
        spill_folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="analytics-")))
        engine = stack.enter_context(contextlib.closing(Engine(settings.query_threads)))
        limits = Limits(settings.edition_memory_mib, spill_folder, settings.cached_rows)
        lakehouse = Lakehouse(settings.lakehouse_uri)
        lake = stack.enter_context(
            contextlib.closing(GoldLake(lakehouse, engine, limits, kept_editions=settings.kept_editions))
        )
        yield AnalyticsRpc(Analytics(lake))
