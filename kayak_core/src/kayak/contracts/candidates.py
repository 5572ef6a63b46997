"""Stage 1: candidate generators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from kayak.contracts.candidate_stage import CandidateStageResult
from kayak.contracts.executor import Executor
from kayak.contracts.store import LateStore
from kayak.errors import UnsupportedOperationError
from kayak.typing import DocIdsInput, MetadataFilterInput
from kayak.values import LateIndex, LateQuery, LateQueryBatch


class CandidateGenerator(ABC):
    """Chooses the documents that later stages look at.

    A generator is a description: a frozen value holding parameters. Subclass it as a frozen attrs class, set the
    class attributes and implement `generate`. What depends only on the index is built through `index.prepare`,
    so that it is computed once and shows in the profile as preparation.

    Attributes:
        kind: the name under which the generator is registered.
        family: "exact", "proxy", or the family of the approximation.
        score_kind: "exact_score" where stage-1 scores are exact MaxSim, else for example "proxy_score".
        corpus: "index" if it runs over a `LateIndex`, "store" if it runs inside a store.
    """

    kind: ClassVar[str]
    family: ClassVar[str] = "proxy"
    score_kind: ClassVar[str] = "proxy_score"
    corpus: ClassVar[Literal["index", "store"]] = "index"

    @abstractmethod
    def generate(self, query: LateQuery, index: LateIndex, *, k: int, executor: Executor) -> CandidateStageResult:
        """Return the `k` best candidates of an index, best first, equal scores in index order.

        Args:
            query: the encoded query.
            index: the documents to choose from, at least one.
            k: size of the window, ≥ 1; fewer only where the index holds fewer.
            executor: scores exact MaxSim where the generator needs it.
        """

    def generate_batch(
        self, batch: LateQueryBatch, index: LateIndex, *, k: int, executor: Executor
    ) -> tuple[CandidateStageResult, ...]:
        """Return the candidates of each query of a batch, as `generate` would alone.

        Override it where queries can share work; the scores may then differ in the last bits.
        """
        return tuple(self.generate(query, index, k=k, executor=executor) for query in batch.queries)

    def generate_in_store(
        self,
        query: LateQuery,
        store: LateStore,
        *,
        k: int,
        where: MetadataFilterInput = None,
        doc_ids: DocIdsInput | None = None,
    ) -> CandidateStageResult:
        """Return the `k` best candidates of a store; only generators with `corpus = "store"` implement it."""
        raise UnsupportedOperationError(
            f"candidate generator {self.kind!r} runs over an index, not inside store {type(store).__name__}"
        )
