"""`compare_plans`: every plan by every backend over the same queries, in turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from kayak.contracts import LateTextEncoder, SearchPlan
from kayak.contracts.search_checks import checked_plan
from kayak.errors import InvalidInputError, InvalidTypeError
from kayak.evaluation.backends import chosen_backends
from kayak.evaluation.comparison import PlanComparison
from kayak.evaluation.corpora import Corpus, EvaluatedCorpus, reads_texts
from kayak.evaluation.evaluating import with_metrics
from kayak.evaluation.labels import describe_plan, short_label
from kayak.evaluation.measuring import Configuration, measure
from kayak.evaluation.metrics import check_depth, checked_qrels, parse_metrics
from kayak.evaluation.queries import QueriesInput, encoded_queries
from kayak.evaluation.trec import Qrels
from kayak.evaluation.truth import TruthInput, exact_truth, given_truth
from kayak.retrieval.progress import progress_bar
from kayak.values.backend_names import NUMPY_REFERENCE_BACKEND
from kayak.values.coerce import non_negative_int

DEFAULT_METRICS = ("nDCG@10",)

PlansInput = Mapping[str, SearchPlan] | Sequence[SearchPlan]
"""Plans by name, or plans that are named after their stages."""


def compare_plans(
    corpus: Corpus,
    queries: QueriesInput,
    plans: PlansInput,
    *,
    truth: TruthInput | None = None,
    qrels: Qrels | None = None,
    metrics: Iterable[str] = DEFAULT_METRICS,
    backends: Iterable[str] | None = None,
    encoder: LateTextEncoder | None = None,
    repeats: int = 3,
    show_progress: bool | None = None,
) -> PlanComparison:
    """Measure plans side by side: recall against the exact scan, metrics, latency, vectors and bytes.

    Every plan runs by every backend over the same queries. They take turns, block by block of queries, so that a
    machine that becomes slower meanwhile does so for all of them.

    Args:
        corpus: an index, an open store, a retriever, or a session. Plans that search inside a store need one that can;
            all other plans run over a slice that is loaded once.
        queries: query id → text or encoded query, or a sequence of them.
        plans: plans by name, or a sequence; all with one `final_k`, the depth of the recall.
        truth: query id → exact ranking; computed by a full scan with numpy_reference unless given.
        qrels: query id → document id → graded relevance, for metrics beside the recall.
        metrics: names that ir-measures knows; used where there are `qrels`.
        backends: executors; all that can run here unless given.
        encoder: encodes texts where the corpus has no encoder.
        repeats: how often each query is timed, ≥ 1; its time is the median.
        show_progress: True shows a progress bar, False none; None shows one on a terminal with tqdm installed.

    Returns:
        One result a plan and backend, with a table, the Pareto front, and a plot of recall over latency.

    Raises:
        MissingDependencyError: ir-measures is needed for `qrels` and is not installed.
        InvalidTypeError: an argument of the wrong type.
        InvalidInputError: no plan, plans of several `final_k`, equal plans, or a plan that needs a store over an index.
        UnsupportedOperationError: a plan needs a store with a search of its own.
        UnknownKindError, BackendUnavailableError: see `kayak.maxsim`.
    """
    named = _named_plans(plans)
    k = _one_final_k(named)
    times = non_negative_int(repeats, "repeats", minimum=1)
    executors = chosen_backends(backends)
    evaluated = EvaluatedCorpus(corpus, with_texts=any(map(reads_texts, named.values())))
    measures = () if qrels is None else parse_metrics(metrics)
    check_depth(measures, k, evaluated.document_count)
    encoded = encoded_queries(queries, encoder or evaluated.encoder)
    judged = None if qrels is None else checked_qrels(qrels, encoded)
    for plan in named.values():
        evaluated.prepare(plan)
    exact = (
        exact_truth(evaluated.index, encoded, k, NUMPY_REFERENCE_BACKEND)
        if truth is None
        else given_truth(truth, encoded, k)
    )
    configurations = [
        Configuration(name if len(executors) == 1 else f"{name} · {backend}", plan, backend)
        for name, plan in named.items()
        for backend in executors
    ]
    total = len(encoded) * len(configurations) * times
    with progress_bar("comparing", total, show_progress, unit="query") as advance:
        results = measure(evaluated, encoded, configurations, exact, repeats=times, advance=advance)
    if judged is not None:
        results = [with_metrics(result, measures, judged) for result in results]
    return PlanComparison(tuple(results))


def _named_plans(plans: PlansInput) -> dict[str, SearchPlan]:
    if isinstance(plans, SearchPlan) or not isinstance(plans, (Mapping, Sequence)) or isinstance(plans, str):
        raise InvalidTypeError(f"plans must be plans by name or a sequence of plans, got {type(plans).__name__}")
    if not plans:
        raise InvalidInputError("there is no plan to compare; give at least one")
    if isinstance(plans, Mapping):
        for name in plans:
            if not isinstance(name, str) or not name.strip():
                raise InvalidTypeError(f"plans are named by non-empty strings, got {name!r:.60}")
        return {name: checked_plan(plan) for name, plan in plans.items()}
    checked = [checked_plan(plan) for plan in plans]
    short = Counter(map(short_label, checked))
    named: dict[str, SearchPlan] = {}
    for plan in checked:
        name = short_label(plan) if short[short_label(plan)] == 1 else describe_plan(plan)
        if name in named:
            raise InvalidInputError(f"two plans are {name}; give them names: compare_plans(..., {{'one': plan, ...}})")
        named[name] = plan
    return named


def _one_final_k(plans: Mapping[str, SearchPlan]) -> int:
    sizes = {plan.final_k: name for name, plan in plans.items()}
    if len(sizes) > 1:
        (one, first), (other, second), *_ = sizes.items()
        raise InvalidInputError(
            f"{first!r} returns {one} documents and {second!r} {other}; recall is comparable at one depth only, so "
            "give all plans the same final_k"
        )
    return next(iter(sizes))
