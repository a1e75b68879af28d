"""Work on many items at once: as many threads as Arrow is allowed, results in order.

Held by tests/offline/join/test_point_in_time.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import pyarrow as pa

Item = TypeVar("Item")
Result = TypeVar("Result")


def worker_count() -> int:
    """How many items are worked on at once: `pyarrow.set_cpu_count` or OMP_NUM_THREADS change it."""
    return int(pa.cpu_count())


def each(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """`work(item)` for each item, in the items' order. At most 2 items for each worker are begun before their results
    are taken. What an item raises is raised here, and no further item is begun.
    """
    if workers == 1 or len(items) < 2:
        yield from map(work, items)
        return
    left = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="skewless") as pool:
        begun: list[Future[Result]] = [pool.submit(work, item) for item in islice(left, 2 * workers)]
        try:
            while begun:
                yield begun.pop(0).result()
                begun += [pool.submit(work, item) for item in islice(left, 1)]
        finally:
            for one in begun:
                one.cancel()
