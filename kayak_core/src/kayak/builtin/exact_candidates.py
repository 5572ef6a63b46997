"""A store's own candidates by exact scan: `search_candidates` for stores without a search engine."""

from __future__ import annotations

from kayak.builtin.generators import ExactFullScan
from kayak.builtin.numpy_executor import NumpyReferenceExecutor
from kayak.contracts import CandidateStageResult, LateStore
from kayak.errors import EmptySelectionError
from kayak.typing import DocIdsInput, MetadataFilterInput
from kayak.values import LateQuery
from kayak.values.coerce import non_negative_int


def exact_store_candidates(
    store: LateStore,
    query: LateQuery,
    *,
    k: int,
    where: MetadataFilterInput = None,
    doc_ids: DocIdsInput | None = None,
) -> CandidateStageResult:
    """Load the selected documents of a store and return the `k` best by exact MaxSim.

    A selection that matches nothing gives an empty result.
    """
    size = non_negative_int(k, "k", minimum=1)
    generator = ExactFullScan()
    executor = NumpyReferenceExecutor()
    try:
        index = store.load_index(doc_ids=doc_ids, where=where)
    except EmptySelectionError:
        return CandidateStageResult.empty(generator, executor.name)
    return generator.generate(query, index, k=size, executor=executor)
