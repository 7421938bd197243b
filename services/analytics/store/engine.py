"""Runs DuckDB queries off the event loop, in a fixed number of threads."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from duckdb import DuckDBPyConnection

from services.analytics.store.statements import Statement

_INTERRUPT_AGAIN_SECONDS = 0.01


class Engine:
    """A call that is cancelled, by its deadline or its caller, stops its query and frees the thread."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="duckdb")

    def close(self) -> None:
        """Waits for the queries under way; those that wait for a thread are dropped."""
        self._threads.shutdown(cancel_futures=True)

    async def query(self, database: DuckDBPyConnection, statement: Statement) -> list[tuple[Any, ...]]:
        """All rows of the answer."""
        connection = database.cursor()
        running = self._threads.submit(_execute, connection, statement)
        try:
            return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            _interrupt_until_done(connection, running)
            raise


def _execute(connection: DuckDBPyConnection, statement: Statement) -> list[tuple[Any, ...]]:
    with connection:
        return connection.execute(statement.sql, statement.parameters).fetchall()


def _interrupt_until_done(connection: DuckDBPyConnection, running: Future[Any]) -> None:
    """An interrupt that comes just before DuckDB begins the query is lost, so one is not enough."""
    if running.done():
        return
    connection.interrupt()
    loop = asyncio.get_running_loop()
    loop.call_later(_INTERRUPT_AGAIN_SECONDS, _interrupt_until_done, connection, running)
