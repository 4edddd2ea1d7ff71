"""Streams whose blocks are made, or processed, by a thread of their own.

The order of the blocks is kept. Errors of the thread, of any kind, are raised by the caller's next
step. Once the `with` block ends, the thread has ended too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

Block = TypeVar("Block")
Arguments = ParamSpec("Arguments")


@contextmanager
def one_thread() -> Iterator[ThreadPoolExecutor]:
    """A thread that takes calls; of those that wait, none is begun once the block ends."""
    with ThreadPoolExecutor(1) as thread:
        try:
            yield thread
        finally:
            thread.shutdown(cancel_futures=True)


@contextmanager
def made_ahead(blocks: Iterable[Block], count: int) -> Iterator[Iterator[Block]]:
    """Let a thread make the blocks of a stream, at most `count` of them before they are asked for.

    Yields:
        an iterator over the same blocks.
    """
    source = iter(blocks)

    def taken() -> Iterator[Block]:
        coming = deque(thread.submit(next, source, None) for _ in range(count))
        while (block := coming.popleft().result()) is not None:
            coming.append(thread.submit(next, source, None))
            yield block

    with one_thread() as thread:
        yield taken()


@contextmanager
def done_behind(
    work: Callable[Arguments, object], count: int
) -> Iterator[Callable[Arguments, None]]:
    """Let a thread call `work`, while the caller goes on.

    Yields:
        a function that takes the arguments of a call, and waits only while more than `count` calls
        are not done. At the end of the block all of them are done, unless it raised.
    """
    calls: deque[Future[object]] = deque()

    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        calls.append(thread.submit(work, *args, **kwargs))
        while len(calls) > count:
            calls.popleft().result()

    with one_thread() as thread:
        yield call
        while calls:
            calls.popleft().result()
