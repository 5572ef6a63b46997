"""Runs configurations over the same queries, in turns, and times each query."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np

from kayak.contracts import SearchPlan, SearchPlanResult
from kayak.evaluation.corpora import EvaluatedCorpus
from kayak.evaluation.results import EvaluationResult, QueryMeasurement, StageRecall
from kayak.evaluation.truth import ExactTruth
from kayak.values import LateQuery

_BLOCK = 16
"""Queries that one configuration answers before the next has its turn."""
_SETTLE_SECONDS = 0.05
"""Pause before each turn: threads of a BLAS library keep spinning on their cores for a while after a product."""


@attrs.frozen
class Configuration:
    """One plan by one backend.

    Attributes:
        name: what it is called.
        plan: the plan.
        backend: the executor.
    """

    name: str
    plan: SearchPlan
    backend: str


@attrs.define
class _Record:
    """What has been seen of one configuration."""

    preparation_seconds: float = 0.0
    measured: dict[str, QueryMeasurement] = attrs.field(factory=dict)
    seconds: dict[str, list[float]] = attrs.field(factory=dict)


def measure(
    corpus: EvaluatedCorpus,
    queries: Mapping[str, LateQuery],
    configurations: Sequence[Configuration],
    truth: ExactTruth,
    *,
    repeats: int = 1,
    advance: Callable[[int], object],
) -> list[EvaluationResult]:
    """Run every configuration over every query.

    Blocks of queries go from one configuration to the next, and each block begins with another configuration, so that
    a machine that becomes slower or faster meanwhile does so for all. The first query of a turn runs once unmeasured:
    it warms caches and threads, and in the first turn builds what is built once for an index.

    Args:
        corpus: what to search.
        queries: query id → encoded query.
        configurations: what to run; names must differ.
        truth: the exact result.
        repeats: how often each query is timed; its time is the median.
        advance: called with the number of queries done.
    """
    ids = list(queries)
    records = [_Record() for _ in configurations]
    for configuration in configurations:
        corpus.prepare(configuration.plan)
    blocks = [ids[start : start + _BLOCK] for start in range(0, len(ids), _BLOCK)] * repeats
    for turn, block in enumerate(blocks):
        for place in range(len(configurations)):
            number = (turn + place) % len(configurations)
            _run_block(corpus, queries, configurations[number], records[number], block, truth)
            advance(len(block))
    return [
        _result(corpus, configuration, record, truth.k)
        for configuration, record in zip(configurations, records, strict=True)
    ]


def _run_block(
    corpus: EvaluatedCorpus,
    queries: Mapping[str, LateQuery],
    configuration: Configuration,
    record: _Record,
    block: Sequence[str],
    truth: ExactTruth,
) -> None:
    plan, backend = configuration.plan, configuration.backend
    time.sleep(_SETTLE_SECONDS)
    warm = corpus.search(queries[block[0]], plan, backend)
    record.preparation_seconds += sum(stage.preparation_seconds for stage in warm.profiles)
    for query_id in block:
        start = time.perf_counter()
        result = corpus.search(queries[query_id], plan, backend)
        record.seconds.setdefault(query_id, []).append(time.perf_counter() - start)
        record.measured[query_id] = _measurement(query_id, queries[query_id], result, truth)


def _result(corpus: EvaluatedCorpus, configuration: Configuration, record: _Record, k: int) -> EvaluationResult:
    return EvaluationResult(
        configuration.name,
        configuration.plan,
        configuration.backend,
        k,
        tuple(
            attrs.evolve(measured, seconds=float(np.median(record.seconds[query_id])))
            for query_id, measured in record.measured.items()
        ),
        corpus.document_count,
        record.preparation_seconds,
        corpus.load_seconds,
    )


def _measurement(query_id: str, query: LateQuery, result: SearchPlanResult, truth: ExactTruth) -> QueryMeasurement:
    reference = [hit.doc_id for hit in result.reference_scores.topk(truth.k)]
    return QueryMeasurement(
        query_id,
        result.hits,
        {},
        StageRecall(
            truth.recall(query_id, result.candidate_stage.candidate_doc_ids),
            truth.recall(query_id, reference),
            truth.recall(query_id, [hit.doc_id for hit in result.hits[: truth.k]]),
        ),
        0.0,
        query.vector_count,
        sum(stage.document_vector_count for stage in result.profiles),
        sum(stage.query_vector_count * stage.document_vector_count for stage in result.profiles),
        sum(stage.bytes_read for stage in result.profiles),
    )
