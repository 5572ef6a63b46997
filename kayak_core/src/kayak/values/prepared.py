"""Keeps what is computed once for an index, with the time that it took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

import attrs


@attrs.frozen
class Prepared:
    """A precomputed artifact.

    Attributes:
        value: what was built.
        elapsed_seconds: how long building took.
        built_now: whether this call built it; False where it was reused.
    """

    value: Any
    elapsed_seconds: float
    built_now: bool


class PreparedArtifacts:
    """Artifacts by key; each is built once, and threads that need the same one wait for it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._artifacts: dict[Hashable, Prepared] = {}

    def get(self, key: Hashable, build: Callable[[], Any]) -> Prepared:
        """Return the artifact of `key`, building it on first use."""
        with self._lock:
            known = self._artifacts.get(key)
            if known is not None:
                return known
            start = time.perf_counter()
            value = build()
            prepared = Prepared(value, time.perf_counter() - start, built_now=True)
            self._artifacts[key] = attrs.evolve(prepared, built_now=False)
            return prepared

    def __reduce__(self) -> tuple[type[PreparedArtifacts], tuple[()]]:
        # Copies of an index, in this process or another, prepare their own.
        return PreparedArtifacts, ()
