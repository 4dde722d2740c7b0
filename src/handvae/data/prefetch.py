"""Work that threads do before its results are needed."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int = 2, most: int = 2
) -> Iterator[Result]:
    """`work(item)` for each item, in order.

    It pays where most of the work releases the interpreter lock, as OpenCV does. An exception of `items` or
    `work` is raised here, and the waiting results are dropped.

    Args:
        work: called in threads, for several items at once.
        items: taken one at a time, in the caller's thread.
        workers: threads.
        most: results that wait in memory beyond the one that is returned.
    """
    # one thread of arithmetic each: more would compete with the caller's own
    with ThreadPoolExecutor(workers, "ahead", initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                # results leave in the order of the items, whichever thread is done first
                if len(waiting) > most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
