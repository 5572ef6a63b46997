"""`evaluate`: one plan over the queries of a test collection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from kayak.contracts import LateTextEncoder, SearchPlan
from kayak.contracts.search_checks import checked_plan
from kayak.errors import InvalidInputError
from kayak.evaluation.corpora import Corpus, EvaluatedCorpus, reads_texts
from kayak.evaluation.labels import short_label
from kayak.evaluation.measuring import Configuration, measure
from kayak.evaluation.metrics import check_depth, checked_qrels, deepest_cutoff, parse_metrics, per_query_metrics
from kayak.evaluation.queries import QueriesInput, encoded_queries
from kayak.evaluation.results import EvaluationResult
from kayak.evaluation.trec import Qrels
from kayak.evaluation.truth import TruthInput, exact_truth, given_truth
from kayak.plugins import find_executor
from kayak.retrieval.progress import progress_bar
from kayak.searching import exact_full_scan_search_plan
from kayak.values.coerce import non_negative_int

DEFAULT_METRICS = ("nDCG@10", "R@100")


def evaluate(
    corpus: Corpus,
    queries: QueriesInput,
    qrels: Qrels,
    *,
    plan: SearchPlan | None = None,
    metrics: Iterable[str] = DEFAULT_METRICS,
    k: int | None = None,
    backend: str | None = None,
    encoder: LateTextEncoder | None = None,
    truth: TruthInput | None = None,
    repeats: int = 1,
    show_progress: bool | None = None,
) -> EvaluationResult:
    """Measure what a plan costs and what it loses: metrics, recall against the exact scan, latency, vectors and bytes.

    Metrics are those of trec_eval, through ir-measures; equal scores are in its order, by document id, last first.
    Recall compares each stage with the `k` best documents of the exact full scan. The time of a query is that of the
    search alone: encoding, loading a slice of a store, and what is built once for an index are not in it. Plans that
    run over an index search a slice that is loaded once, as a retriever does; plans that run inside a store search
    the store.

    Args:
        corpus: an index, an open store, a retriever, or a session.
        queries: query id → text or encoded query. Queries without a judgement count for recall and latency only.
        qrels: query id → document id → graded relevance, for example from `kayak.read_beir`.
        plan: what to measure; the exact full scan to the depth of the metrics unless given.
        metrics: names that ir-measures knows, such as "nDCG@10", "R@100", "AP", "RR@10".
        k: depth of the exact ranking that recall is measured against, ≥ 1; the plan's `final_k` unless given.
        backend: executor of the exact stages; the retriever's, or numpy_reference, unless given.
        encoder: encodes texts where the corpus has no encoder.
        truth: query id → exact ranking, where it is known; computed by a full scan over all documents unless given.
        repeats: how often each query is timed, ≥ 1; its time is the median.
        show_progress: True shows a progress bar, False none; None shows one on a terminal with tqdm installed.

    Raises:
        MissingDependencyError: ir-measures is not installed (`pip install 'kayak-core[eval]'`).
        InvalidTypeError: an argument of the wrong type.
        InvalidInputError: no query, no judged query, an unknown metric, or one that looks at more documents than the
            plan returns.
        UnknownKindError, BackendUnavailableError: see `kayak.maxsim`.
        EmptySelectionError: the store is empty.
    """
    measures = parse_metrics(metrics)
    depth = deepest_cutoff(measures)
    chosen = exact_full_scan_search_plan(depth or 100) if plan is None else checked_plan(plan)
    wanted_k = chosen.final_k if k is None else non_negative_int(k, "k", minimum=1)
    if wanted_k > chosen.final_k:
        raise InvalidInputError(
            f"recall of the exact top {wanted_k} needs a plan that returns as many, but final_k is {chosen.final_k}"
        )
    times = non_negative_int(repeats, "repeats", minimum=1)
    evaluated = EvaluatedCorpus(corpus, with_texts=reads_texts(chosen))
    executor = backend or evaluated.backend
    find_executor(executor)
    check_depth(measures, chosen.final_k, evaluated.document_count)
    encoded = encoded_queries(queries, encoder or evaluated.encoder)
    judged = checked_qrels(qrels, encoded)
    exact = (
        exact_truth(evaluated.index, encoded, wanted_k, executor)
        if truth is None
        else given_truth(truth, encoded, wanted_k)
    )
    configuration = Configuration(short_label(chosen), chosen, executor)
    with progress_bar("evaluating", len(encoded) * times, show_progress, unit="query") as advance:
        (result,) = measure(evaluated, encoded, [configuration], exact, repeats=times, advance=advance)
    return with_metrics(result, measures, judged)


def with_metrics(result: EvaluationResult, measures: Sequence[Any], qrels: Qrels) -> EvaluationResult:
    """Return a result with the metrics of its judged queries."""
    found = per_query_metrics(measures, qrels, result.run)
    return attrs.evolve(
        result, queries=tuple(attrs.evolve(each, metrics=found.get(each.query_id, {})) for each in result.queries)
    )
