"""Kayak's conformance suite on a real Weaviate server, with and without MUVERA."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import kayak
import pytest
from kayak.testing import StoreConformance
from kayak_weaviate.store import WeaviateLateStore


class TestTokenVectors(StoreConformance):
    @pytest.fixture
    def store(self, open_store: Callable[..., WeaviateLateStore]) -> WeaviateLateStore:
        return open_store()

    @pytest.fixture
    def reopen(self, open_store: Callable[..., WeaviateLateStore]) -> Callable[[kayak.LateStore], kayak.LateStore]:
        def reopen(store: kayak.LateStore) -> kayak.LateStore:
            store.close()
            return open_store()

        return reopen


class TestMuvera(StoreConformance):
    examples = 10

    @pytest.fixture
    def store(self, open_store: Callable[..., WeaviateLateStore]) -> WeaviateLateStore:
        return open_store(muvera=True)

    @pytest.fixture
    def reopen(
        self, open_store: Callable[..., WeaviateLateStore]
    ) -> Iterator[Callable[[kayak.LateStore], kayak.LateStore]]:
        def reopen(store: kayak.LateStore) -> kayak.LateStore:
            store.close()
            return open_store(muvera=True)

        return reopen
