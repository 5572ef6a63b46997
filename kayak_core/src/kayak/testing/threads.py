"""Runs checks in several threads that take turns as often as the interpreter can."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

_R = TypeVar("_R")


@contextmanager
def frequent_switches() -> Iterator[None]:
    """Let threads interrupt each other after almost every bytecode, so that races show."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def run_together(tasks: Sequence[Callable[[], _R]]) -> list[_R]:
    """Run tasks at the same time, one thread each, and return their results; raises what the first raised."""
    with frequent_switches(), ThreadPoolExecutor(max_workers=len(tasks)) as pool:
        return [future.result() for future in [pool.submit(task) for task in tasks]]
