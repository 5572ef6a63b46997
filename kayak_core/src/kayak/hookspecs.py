"""The five hooks through which plugins provide encoders, stores, generators, operators and executors.

A plugin is a distribution with an entry point in the group `kayak`, naming a module (or object) whose functions are
marked with `kayak.hookimpl`:

```toml
[project.entry-points.kayak]
mystore = "kayak_mystore.plugin"
```

Hooks yield specs, never instances. They must not import heavy packages: the spec's factory does, when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import pluggy

from kayak.specs import CandidateGeneratorSpec, EncoderSpec, ExecutorSpec, StageOperatorSpec, StoreSpec

PROJECT_NAME = "kayak"

_F = TypeVar("_F", bound=Callable[..., Any])

_hookspec = cast("Callable[[_F], _F]", pluggy.HookspecMarker(PROJECT_NAME))
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)
"""Marks a function of a plugin as the implementation of the hook with its name."""


class KayakSpecs:
    """The hooks, one a kind."""

    @_hookspec
    def kayak_encoders(self) -> Iterable[EncoderSpec]:
        """Provide encoders.

        ```python
        import kayak


        def open_reverse(*, dim: int = 8) -> kayak.LateTextEncoder:
            import numpy as np

            def encode(text: str) -> np.ndarray:
                return np.array([[float(ord(c) % dim == i) for i in range(dim)] for c in reversed(text)])

            return kayak.CallableLateTextEncoder(encode, encode)


        @kayak.hookimpl
        def kayak_encoders():
            yield kayak.EncoderSpec(name="reverse", factory=open_reverse, summary="letters, backwards")
        ```
        """
        raise NotImplementedError

    @_hookspec
    def kayak_stores(self) -> Iterable[StoreSpec]:
        """Provide stores.

        ```python
        import kayak


        class Shelf(kayak.BaseLateStore):
            kind = "shelf"
            persistent = False

            def __init__(self) -> None:
                self.rows: dict[str, kayak.StoredDocument] = {}

            def write_documents(self, rows):
                self.rows |= {row.doc_id: row for row in rows}

            def delete_documents(self, doc_ids):
                self.rows = {key: row for key, row in self.rows.items() if key not in set(doc_ids)}

            def read_documents(self, doc_ids, where):
                return list(self.rows.values())


        @kayak.hookimpl
        def kayak_stores():
            yield kayak.StoreSpec(name="shelf", factory=Shelf, summary="a dict")
        ```
        """
        raise NotImplementedError

    @_hookspec
    def kayak_candidate_generators(self) -> Iterable[CandidateGeneratorSpec]:
        """Provide candidate generators (stage 1).

        ```python
        import attrs
        import numpy as np
        import kayak


        @attrs.frozen
        class Longest(kayak.CandidateGenerator):
            kind = "longest"

            def generate(self, query, index, *, k, executor):
                scores = kayak.LateScores.from_values(self.kind, index.doc_ids, np.array(index.vector_counts))
                hits = scores.topk(k)
                profile = kayak.SearchStageProfile(self.kind, 0, len(hits), document_count=index.document_count)
                return kayak.CandidateStageResult(self, scores, hits, profile)


        @kayak.hookimpl
        def kayak_candidate_generators():
            yield kayak.CandidateGeneratorSpec(name="longest", factory=Longest, summary="longest documents")
        ```
        """
        raise NotImplementedError

    @_hookspec
    def kayak_stage_operators(self) -> Iterable[StageOperatorSpec]:
        """Provide operators of stage 2 and verifiers of stage 3.

        ```python
        import attrs
        import kayak


        @attrs.frozen
        class ShortTexts(kayak.Stage3VerifierOperator):
            kind = "short_texts"
            requires_document_texts = True

            def verify(self, query, window, prior, *, k):
                texts = dict(zip(window.index.doc_ids, window.index.doc_texts or (), strict=True))
                hits = sorted(prior.hits, key=lambda hit: len(texts[hit.doc_id] or ""))[:k]
                profile = kayak.SearchStageProfile(self.kind, len(prior.hits), len(hits))
                return kayak.StageResult(prior.scores, tuple(hits), profile)


        @kayak.hookimpl
        def kayak_stage_operators():
            yield kayak.StageOperatorSpec(name="short_texts", stage=3, factory=ShortTexts, summary="short first")
        ```
        """
        raise NotImplementedError

    @_hookspec
    def kayak_executors(self) -> Iterable[ExecutorSpec]:
        """Provide executors of exact MaxSim.

        ```python
        import numpy as np
        import kayak


        class Slow:
            name = "slow"

            def backend_info(self):
                return kayak.BackendInfo("slow", available=True, availability_reason="always there")

            def maxsim(self, query_vectors, query_offsets, block, positions):
                numbers = range(block.document_count) if positions is None else positions.tolist()
                best = [(query_vectors @ block.document(i).T).max(axis=1) for i in numbers]
                rows = [np.add.reduceat(b, query_offsets[:-1]) for b in best]  # every query has ≥ 1 vector
                return np.array(rows, np.float32).reshape(len(rows), len(query_offsets) - 1).T


        @kayak.hookimpl
        def kayak_executors():
            yield kayak.ExecutorSpec(name="slow", factory=Slow, summary="one document at a time")
        ```
        """
        raise NotImplementedError
