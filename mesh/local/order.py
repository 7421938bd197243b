"""Starting things side by side, each after what it needs."""

import graphlib
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event


def in_order(graph: Mapping[str, Collection[str]], start: Callable[[str, Event], None]) -> None:
    """Call `start(name, cancelled)` for each name in a thread of its own, once all it needs by `graph` have returned.

    After the first failure `cancelled` is set, the running calls are awaited, and that failure is raised. Needs that
    are no names of the graph count as met.
    """
    sorter = graphlib.TopologicalSorter(
        {name: [need for need in needs if need in graph] for name, needs in graph.items()}
    )
    sorter.prepare()
    cancelled = Event()
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(max_workers=max(1, len(graph))) as pool:
        try:
            while sorter.is_active():
                running |= {pool.submit(start, name, cancelled): name for name in sorter.get_ready()}
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    future.result()
                    sorter.done(running.pop(future))
        finally:
            cancelled.set()  # also on Ctrl-C: leaving the pool waits for its threads
