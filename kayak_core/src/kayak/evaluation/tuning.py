"""`tune_plan`: the cheapest window that keeps a given share of the exact result, with evidence.

Queries are split at random. The tuning queries order the settings: those that no cheaper setting matches in recall,
from the most expensive to the cheapest. The held-out queries then test them in that order, each by the lower end of
its confidence interval, and the first that fails ends the series. This is fixed-sequence testing as in "Learn then
Test" (Angelopoulos, Bates, Candès, Jordan and Lei, Annals of Applied Statistics 19, 2025, arXiv 2110.01052): since
the order does not depend on the held-out queries, the probability of choosing any plan whose true mean recall is
below the target is at most that of one wrong test, however many settings are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs
import numpy as np

from kayak.contracts import CandidateGenerator, LateTextEncoder, SearchPlan
from kayak.errors import InvalidInputError, InvalidTypeError
from kayak.evaluation.confidence import fraction, mean_interval
from kayak.evaluation.corpora import Corpus, EvaluatedCorpus
from kayak.evaluation.labels import describe_stage, short_label
from kayak.evaluation.measuring import Configuration, measure
from kayak.evaluation.queries import QueriesInput, encoded_queries
from kayak.evaluation.results import EvaluationResult
from kayak.evaluation.truth import ExactTruth, TruthInput, exact_truth, given_truth
from kayak.evaluation.tuning_result import HeldOutTrial, TuningPoint, TuningResult
from kayak.plugins import find_executor
from kayak.retrieval.progress import progress_bar
from kayak.searching import (
    document_proxy_candidate_generator,
    exact_full_scan_search_plan,
    exact_late_interaction_stage2_reference_operator,
    none_stage3_verifier_operator,
)
from kayak.values import LateQuery
from kayak.values.coerce import non_negative_int

_DOCUMENT_BUDGETS = (0, 32, 64, 128)
_STEP = 2**0.5
_FEWEST = 4


@attrs.frozen
class _Setting:
    """A plan and what the tuning queries showed of it."""

    plan: SearchPlan
    recall: float
    dot_products: float


def tune_plan(
    corpus: Corpus,
    queries: QueriesInput,
    *,
    recall_target: float,
    k: int = 10,
    candidate_ks: Iterable[int] | None = None,
    generators: Sequence[CandidateGenerator] | None = None,
    confidence: float = 0.95,
    held_out: float = 0.5,
    seed: int = 0,
    backend: str | None = None,
    encoder: LateTextEncoder | None = None,
    truth: TruthInput | None = None,
    show_progress: bool | None = None,
) -> TuningResult:
    """Find the cheapest plan whose hits keep a share of the exact result, shown on queries that did not choose it.

    One part of the queries orders the settings by cost and recall. The other part tests them, from the most expensive
    to the cheapest; the last whose confidence interval lies at or above the target is chosen. If the queries are an
    independent sample of those to come, a plan below the target is chosen with a probability of at most
    (1 − confidence) / 2. The interval is that of the chosen plan alone.

    Args:
        corpus: an index, an open store, a retriever, or a session.
        queries: query id → text or encoded query, or a sequence of them; more queries show higher recalls.
        recall_target: mean share of the exact top `k` that the plan must return, between 0 and 1.
        k: hits that the plan returns, and depth of the exact ranking, ≥ 1.
        candidate_ks: windows to try, each ≥ `k`; from `k` to the size of the corpus in steps of √2 unless given.
        generators: stages 1 to try; document proxies of all vectors and of the first 32, 64 and 128 unless given.
        confidence: of the interval, between 0 and 1.
        held_out: share of the queries that test, between 0 and 1.
        seed: of the random split.
        backend: executor of the exact stages; the retriever's, or numpy_reference, unless given.
        encoder: encodes texts where the corpus has no encoder.
        truth: query id → exact ranking, where it is known; computed by a full scan unless given.
        show_progress: True shows a progress bar, False none; None shows one on a terminal with tqdm installed.

    Raises:
        InvalidTypeError: an argument of the wrong type.
        InvalidInputError: fewer than four queries, a share that is not between 0 and 1, or a window below `k`.
        UnsupportedOperationError: a generator needs a store with a search of its own.
        UnknownKindError, BackendUnavailableError: see `kayak.maxsim`.
        EmptySelectionError: the store is empty.
    """
    target, level = fraction(recall_target, "recall_target"), fraction(confidence, "confidence")
    size = non_negative_int(k, "k", minimum=1)
    evaluated = EvaluatedCorpus(corpus)
    executor = backend or evaluated.backend
    find_executor(executor)
    chosen_generators = _generators(generators)
    encoded = encoded_queries(queries, encoder or evaluated.encoder)
    tuning_ids, held_out_ids = _split(list(encoded), fraction(held_out, "held_out"), seed)
    windows = _windows(candidate_ks, size, evaluated.index.document_count)
    exact = (
        exact_truth(evaluated.index, encoded, size, executor) if truth is None else given_truth(truth, encoded, size)
    )
    tuning = {query_id: encoded[query_id] for query_id in tuning_ids}
    testing = {query_id: encoded[query_id] for query_id in held_out_ids}
    with progress_bar("tuning", None, show_progress, unit="query") as advance:
        settings = [
            setting
            for generator in chosen_generators
            for setting in _explored(evaluated, tuning, generator, windows, exact, advance)
        ]
        front = _pareto_front(settings)
        trials, passed = _tested(evaluated, testing, front, exact, target, level, executor, advance)
        best, scan = _costs(evaluated, testing, passed, exact, executor, advance)
    return TuningResult(
        target,
        size,
        level,
        passed,
        executor,
        tuple(_point(setting, optimal=setting in front) for setting in settings),
        trials,
        tuple(tuning_ids),
        tuple(held_out_ids),
        mean_interval(np.ones(len(held_out_ids)), level).low,
        best,
        scan,
    )


def _generators(generators: Sequence[CandidateGenerator] | None) -> tuple[CandidateGenerator, ...]:
    if generators is None:
        return tuple(document_proxy_candidate_generator(document_vector_budget=budget) for budget in _DOCUMENT_BUDGETS)
    if isinstance(generators, CandidateGenerator) or not isinstance(generators, Sequence):
        raise InvalidTypeError(
            f"generators must be a sequence of candidate generators, got {type(generators).__name__}"
        )
    for generator in generators:
        if not isinstance(generator, CandidateGenerator):
            raise InvalidTypeError(
                f"expected a CandidateGenerator, got {type(generator).__name__}; "
                "make one with kayak.document_proxy_candidate_generator()"
            )
    if not generators:
        raise InvalidInputError("generators is empty; give at least one, or leave the argument out")
    return tuple(dict.fromkeys(generators))


def _split(query_ids: list[str], held_out: float, seed: int) -> tuple[list[str], list[str]]:
    if len(query_ids) < _FEWEST:
        raise InvalidInputError(
            f"tuning needs queries to choose on and others to test on, at least {_FEWEST}, and here are "
            f"{len(query_ids)}"
        )
    shuffled = np.random.default_rng(non_negative_int(seed, "seed")).permutation(len(query_ids)).tolist()
    count = min(len(query_ids) - 1, max(1, round(held_out * len(query_ids))))
    return [query_ids[i] for i in shuffled[count:]], [query_ids[i] for i in shuffled[:count]]


def _windows(candidate_ks: Iterable[int] | None, k: int, document_count: int) -> list[int]:
    if candidate_ks is not None:
        if isinstance(candidate_ks, (str, bytes)) or not isinstance(candidate_ks, Iterable):
            raise InvalidTypeError(f"candidate_ks must be a sequence of integers, got {type(candidate_ks).__name__}")
        given = sorted({non_negative_int(each, "candidate_ks", minimum=1) for each in candidate_ks})
        if not given:
            raise InvalidInputError("candidate_ks is empty; give at least one window, or leave the argument out")
        if given[0] < k:
            raise InvalidInputError(f"a window of {given[0]} cannot hold the {k} hits that the plan returns")
        return given
    windows = [k]
    while windows[-1] < document_count:
        windows.append(max(windows[-1] + 1, round(windows[-1] * _STEP)))
    return [window for window in windows if window < document_count] or [k]


def _explored(
    corpus: EvaluatedCorpus,
    queries: Mapping[str, LateQuery],
    generator: CandidateGenerator,
    windows: Sequence[int],
    truth: ExactTruth,
    advance: Callable[[int], object],
) -> list[_Setting]:
    """Measure all windows of one generator at once: smaller ones are beginnings of the largest."""
    recalls = np.zeros(len(windows))
    work = np.zeros(len(windows))
    plans = [_plan(generator, truth.k, window) for window in windows]
    for query_id, query in queries.items():
        stage = corpus.candidates(query, plans[-1])
        found = stage.candidate_doc_ids
        counts = np.concatenate([[0], np.cumsum(corpus.index.counts[corpus.index.numbers_of(found)])])
        profile = stage.profile
        # Reading a posting takes about as long as a dot product of a hundred dimensions.
        first = profile.query_vector_count * profile.document_vector_count + profile.posting_count
        for number, window in enumerate(windows):
            recalls[number] += truth.recall(query_id, found[:window])
            work[number] += first + query.vector_count * int(counts[min(window, len(found))])
        advance(1)
    pairs = zip(plans, (recalls / len(queries)).tolist(), (work / len(queries)).tolist(), strict=True)
    return [_Setting(plan, recall, dot_products) for plan, recall, dot_products in pairs]


def _plan(generator: CandidateGenerator, k: int, candidate_k: int) -> SearchPlan:
    return SearchPlan(
        generator,
        exact_late_interaction_stage2_reference_operator(),
        none_stage3_verifier_operator(),
        k,
        candidate_k,
    )


def _pareto_front(settings: Sequence[_Setting]) -> list[_Setting]:
    """Return the settings that no cheaper one matches in recall, most expensive first."""
    front: list[_Setting] = []
    for setting in sorted(settings, key=lambda each: (each.dot_products, -each.recall)):
        if not front or setting.recall > front[-1].recall:
            front.append(setting)
    return front[::-1]


def _tested(
    corpus: EvaluatedCorpus,
    queries: Mapping[str, LateQuery],
    front: Sequence[_Setting],
    truth: ExactTruth,
    target: float,
    confidence: float,
    backend: str,
    advance: Callable[[int], object],
) -> tuple[tuple[HeldOutTrial, ...], SearchPlan | None]:
    """Test the settings in their order until one fails; return the trials and the last plan that passed."""
    trials: list[HeldOutTrial] = []
    passed: SearchPlan | None = None
    for setting in front:
        recalls = []
        for query_id, query in queries.items():
            hits = corpus.search(query, setting.plan, backend).hits
            recalls.append(truth.recall(query_id, [hit.doc_id for hit in hits]))
            advance(1)
        interval = mean_interval(np.array(recalls), confidence)
        good = interval.low >= target
        name = describe_stage(setting.plan.candidate_generator)
        trials.append(HeldOutTrial(name, setting.plan.candidate_k, float(np.mean(recalls)), interval, good))
        if not good:
            break
        passed = setting.plan
    return tuple(trials), passed


def _costs(
    corpus: EvaluatedCorpus,
    queries: Mapping[str, LateQuery],
    plan: SearchPlan | None,
    truth: ExactTruth,
    backend: str,
    advance: Callable[[int], object],
) -> tuple[EvaluationResult | None, EvaluationResult]:
    """Measure what the chosen plan and the exact scan cost, in turns."""
    scan = exact_full_scan_search_plan(truth.k)
    plans = [scan] if plan is None else [plan, scan]
    configurations = [Configuration(short_label(each), each, backend) for each in plans]
    *chosen, exact = measure(corpus, queries, configurations, truth, advance=advance)
    return (chosen[0] if chosen else None), exact


def _point(setting: _Setting, *, optimal: bool) -> TuningPoint:
    return TuningPoint(
        describe_stage(setting.plan.candidate_generator),
        setting.plan.candidate_k,
        setting.recall,
        setting.dot_products,
        optimal,
    )
