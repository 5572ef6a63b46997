"""The built-in candidate generators: exact full scan, document proxy and the store's own search."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import attrs
import numpy as np

from kayak.builtin.numpy_maxsim import document_proxies
from kayak.contracts import (
    CandidateGenerator,
    CandidateStageResult,
    Executor,
    LateStore,
    SearchStageProfile,
    score_index,
)
from kayak.contracts.executor import check_dimensions
from kayak.errors import UnsupportedOperationError
from kayak.typing import DocIdsInput, Float32Matrix, MetadataFilterInput
from kayak.values import LateIndex, LateQuery, LateQueryBatch, LateScores
from kayak.values.coerce import non_negative_int


def _budget(value: Any) -> int:
    return non_negative_int(value, "query_vector_budget and document_vector_budget")


@attrs.frozen
class ExactFullScan(CandidateGenerator):
    """Scores every document by exact MaxSim: the baseline that approximations are measured against."""

    kind: ClassVar[str] = "exact_full_scan"
    family: ClassVar[str] = "exact"
    score_kind: ClassVar[str] = "exact_score"

    def generate(self, query: LateQuery, index: LateIndex, *, k: int, executor: Executor) -> CandidateStageResult:
        """Score all documents and keep the `k` best; see `CandidateGenerator.generate`."""
        values = score_index(executor, LateQueryBatch((query,)), index)[0]
        scores = LateScores(executor.name, index.doc_ids, values, query.vector_count)
        profile = SearchStageProfile(
            self.kind,
            0,
            min(k, index.document_count),
            query_vector_count=query.vector_count,
            document_count=index.document_count,
            document_vector_count=index.total_vector_count,
            bytes_read=index.vector_byte_size,
            vector_dtype=index.vector_dtype,
            executor=executor.name,
        )
        return CandidateStageResult(self, scores, scores.topk(k), profile)


@attrs.frozen
class DocumentProxy(CandidateGenerator):
    """Compares one mean vector a document with one mean vector of the query.

    The query's proxy is the mean of its first `query_vector_budget` vectors, a document's that of its first
    `document_vector_budget` vectors (0, or more than there are: all); neither is renormalised. The score is their
    dot product. Document proxies are computed once an index and budget.
    """

    kind: ClassVar[str] = "document_proxy"

    query_vector_budget: int = attrs.field(default=0, converter=_budget)
    document_vector_budget: int = attrs.field(default=0, converter=_budget)

    def generate(self, query: LateQuery, index: LateIndex, *, k: int, executor: Executor) -> CandidateStageResult:
        """Score one proxy a document and keep the `k` best; see `CandidateGenerator.generate`."""
        del executor  # proxies are not MaxSim
        check_dimensions(query.vector_dim, index)
        budget = self.document_vector_budget
        prepared = index.prepare((self.kind, budget), lambda: _index_proxies(index, budget))
        proxies: Float32Matrix = prepared.value
        vectors = query.as_vector_matrix()
        query_proxy = vectors[: self.query_vector_budget or None].mean(axis=0, dtype=np.float64)
        values = proxies @ query_proxy.astype(np.float32)
        scores = LateScores.from_values(self.kind, index.doc_ids, values)
        profile = SearchStageProfile(
            self.kind,
            0,
            min(k, index.document_count),
            query_vector_count=1,
            document_count=index.document_count,
            document_vector_count=index.document_count,
            bytes_read=proxies.nbytes + (index.vector_byte_size if prepared.built_now else 0),
            vector_dtype=index.vector_dtype,
            preparation=f"one mean vector of {f'the first {budget}' if budget else 'all'} vectors for each of "
            f"{index.document_count} documents",
            preparation_seconds=prepared.elapsed_seconds if prepared.built_now else 0.0,
        )
        return CandidateStageResult(self, scores, scores.topk(k), profile)


def _index_proxies(index: LateIndex, budget: int) -> Float32Matrix:
    proxies = np.empty((index.document_count, index.vector_dim), dtype=np.float32)
    for part in index.slices:
        block = part.block
        block.verify(part.positions)
        proxies[part.rows] = document_proxies(block.vectors, block.offsets, budget, part.positions, block.scales)
    return proxies


@attrs.frozen
class StoreNative(CandidateGenerator):
    """Lets the store choose the candidates with its own search; needs a store as the corpus."""

    kind: ClassVar[str] = "store_native"
    family: ClassVar[str] = "native"
    score_kind: ClassVar[str] = "native_score"
    corpus: ClassVar[Literal["index", "store"]] = "store"

    def generate(self, query: LateQuery, index: LateIndex, *, k: int, executor: Executor) -> CandidateStageResult:
        """Not possible over an index: an index has no search of its own."""
        raise UnsupportedOperationError(
            "the store_native generator searches inside a store, but the corpus is a LateIndex; pass the store to "
            "search_with_plan, or use exact_full_scan_search_plan over the index"
        )

    def generate_in_store(
        self,
        query: LateQuery,
        store: LateStore,
        *,
        k: int,
        where: MetadataFilterInput = None,
        doc_ids: DocIdsInput | None = None,
    ) -> CandidateStageResult:
        """Ask the store for its `k` best candidates; see `LateStore.search_candidates`."""
        if store.capabilities().native_candidates == "none":
            raise UnsupportedOperationError(
                f"store {store.capabilities().kind!r} has no search of its own (native_candidates='none'); use "
                "exact_full_scan_search_plan or document_proxy_search_plan over it instead"
            )
        found = store.search_candidates(query, k=k, where=where, doc_ids=doc_ids)
        return attrs.evolve(found, generator=self, profile=attrs.evolve(found.profile, stage_name=self.kind))
