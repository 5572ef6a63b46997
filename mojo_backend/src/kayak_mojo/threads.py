"""Helper threads that share the documents of a call: one pool a process, lent to the calls that run at the time.

ctypes releases the interpreter's lock during a kernel, so plain threads use all processors. Calls from several threads
of the user share one budget: a call gets helpers only while fewer than `KAYAK_NUM_THREADS` threads compute, so a pool
of the user's that keeps the processors busy gets none beside it.
"""

from __future__ import annotations

import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import kayak

THREADS_VARIABLE = "KAYAK_NUM_THREADS"

Piece = tuple[int, int]
"""The first document of a piece of the work, and the one after its last."""

Work = Callable[[Iterable[Piece]], None]


def thread_limit() -> int:
    """Return how many threads may compute at a time: KAYAK_NUM_THREADS, or the processors this process may use.

    Raises:
        InvalidInputError: the variable is set to something else than a whole number ≥ 1.
    """
    configured = os.environ.get(THREADS_VARIABLE)
    return _usable_processors() if configured is None else _parsed(configured)


def _usable_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.lru_cache(maxsize=16)
def _parsed(configured: str) -> int:
    if not configured.strip().isdecimal() or int(configured) < 1:
        raise kayak.InvalidInputError(
            f"the environment variable {THREADS_VARIABLE} must be a whole number ≥ 1, got {configured!r}; unset it to "
            "use all processors"
        )
    return int(configured)


class _Budget:
    """Counts the threads that compute, and owns the helpers among them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._computing = 0
        self._pool: ThreadPoolExecutor | None = None
        self._pool_size = 0

    def enter(self, wanted: int, limit: int) -> int:
        """Count the calling thread in, and return how many of the wanted helpers it may have."""
        with self._lock:
            self._computing += 1
            helpers = max(0, min(wanted, limit - self._computing))
            self._computing += helpers
            return helpers

    def leave(self) -> None:
        """Count one thread out."""
        with self._lock:
            self._computing -= 1

    def submit(self, work: Callable[[], None], limit: int) -> Future[None]:
        """Let a helper run `work`."""
        with self._lock:
            if self._pool is None or self._pool_size < limit - 1:
                if self._pool is not None:
                    self._pool.shutdown(wait=False)  # it finishes what it has; the limit was raised
                self._pool_size = limit - 1
                self._pool = ThreadPoolExecutor(self._pool_size, thread_name_prefix="kayak-mojo")
            return self._pool.submit(work)


_budget = _Budget()


def _start_anew() -> None:
    global _budget  # noqa: PLW0603 - a forked child has none of its parent's threads, and maybe its locks held
    _budget = _Budget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def share(work: Work, pieces: Sequence[Piece], limit: int) -> None:
    """Have `work` consume all pieces, in this thread and in as many helpers as are free.

    Each thread takes the next piece when it has finished one, so a thread that the system holds up delays little.
    Returns when no thread works any more. An exception in one stops the others at their next piece, and is raised.

    Args:
        work: called once in each thread with the pieces that this thread gets.
        pieces: the pieces, in the order in which they should start.
        limit: how many threads may compute at a time, in all calls together.
    """
    budget = _budget
    waiting = deque(pieces)

    def taken() -> Iterator[Piece]:
        while True:
            try:
                piece = waiting.popleft()
            except IndexError:
                return
            yield piece

    def run() -> None:
        try:
            work(taken())
        except BaseException:
            waiting.clear()
            raise

    def help_out() -> None:
        try:
            run()
        finally:
            budget.leave()

    helpers: list[Future[None]] = []
    promised = budget.enter(len(pieces) - 1, limit)
    try:
        for _ in range(promised):
            try:
                helpers.append(budget.submit(help_out, limit))
            except RuntimeError:  # the interpreter is shutting down, or no thread can be started: work alone
                break
        for _ in range(promised - len(helpers)):
            budget.leave()
        run()
    finally:
        waiting.clear()
        begun = []
        for helper in helpers:
            if helper.cancel():
                budget.leave()
            else:
                begun.append(helper)
        budget.leave()
        errors = [helper.exception() for helper in begun]  # waits for each
    for error in filter(None, errors):
        raise error
