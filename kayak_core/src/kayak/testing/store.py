"""`StoreConformance`: what every store promises."""

from __future__ import annotations

from typing import ClassVar

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from kayak.contracts import LateStore
from kayak.testing.reopening import Reopen
from kayak.testing.store_documents import StoreDocuments
from kayak.testing.store_lifecycle import StoreLifecycle
from kayak.testing.store_machine import store_machine
from kayak.testing.store_search import StoreSearch
from kayak.testing.store_selection import StoreSelection
from kayak.testing.store_writes import StoreWrites


class StoreConformance(StoreDocuments, StoreWrites, StoreSelection, StoreLifecycle, StoreSearch):
    """What every store promises. Subclass it and give the fixture `store`: a fresh, empty, open store.

    A store that declares `persistent` needs a second fixture, `reopen`, that returns a function: it takes an open
    store and returns the same data in a store opened again (it may close the first).

    Attributes:
        steps: changes a run of the state machine.
    """

    steps: ClassVar[int] = 12

    def test_random_changes_match_the_memory_store(self, store: LateStore, reopened: Reopen | None) -> None:
        """Any sequence of upserts, deletions, loads, filters and reopenings gives what `MemoryLateStore` gives."""
        box = [store]
        try:
            run_state_machine_as_test(
                store_machine(box, reopened if store.capabilities().persistent else None),
                settings=settings(self.settings(examples=max(1, self.examples // 2)), stateful_step_count=self.steps),
            )
        finally:
            box[0].close()
