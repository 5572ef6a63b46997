"""Ranking metrics, computed by ir-measures."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kayak.errors import InvalidInputError, InvalidTypeError, MissingDependencyError
from kayak.evaluation.trec import Qrels, Run
from kayak.values.coerce import string_tuple


def parse_metrics(names: Iterable[str]) -> tuple[Any, ...]:
    """Return the measures of ir-measures that names such as "nDCG@10" stand for.

    Raises:
        MissingDependencyError: ir-measures is not installed.
        InvalidTypeError: something else than a sequence of strings.
        InvalidInputError: a name that ir-measures does not know, or none at all.
    """
    given = string_tuple(names, "metrics")
    if not given:
        raise InvalidInputError("metrics is empty; name at least one, for example metrics=('nDCG@10',)")
    try:
        import ir_measures
    except ImportError as error:
        raise MissingDependencyError(
            "ranking metrics need ir-measures; install it with `pip install 'kayak-core[eval]'`"
        ) from error
    measures = []
    for name in given:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # `ast.Num`, from Python 3.12 on
                measure: Any = ir_measures.parse_measure(name)
            measure.validate_params()
        except (AssertionError, NameError, SyntaxError, TypeError, ValueError) as error:
            raise InvalidInputError(
                f"{name!r} is no metric that ir-measures knows; examples are nDCG@10, R@100, AP, RR@10, P@5 "
                "(https://ir-measur.es lists them all)"
            ) from error
        measures.append(measure)
    return tuple(dict.fromkeys(measures))


def deepest_cutoff(measures: Sequence[Any]) -> int | None:
    """Return how deep the measures look into a ranking; None where none has a cutoff."""
    cutoffs = [int(measure.params["cutoff"]) for measure in measures if "cutoff" in measure.params]
    return max(cutoffs, default=None)


def check_depth(measures: Sequence[Any], final_k: int, document_count: int) -> None:
    """Require a plan to return as many documents as the metrics look at.

    Raises:
        InvalidInputError: it returns fewer, so that the metric would be that of a shorter ranking.
    """
    for measure in measures:
        cutoff = measure.params.get("cutoff", 0)
        if cutoff > final_k and document_count > final_k:
            raise InvalidInputError(
                f"{measure} looks at {cutoff} documents, but the plan returns {final_k}; give the plan "
                f"final_k={cutoff}, or name metrics up to @{final_k}"
            )


def checked_qrels(qrels: Qrels, query_ids: Iterable[str]) -> dict[str, dict[str, int]]:
    """Return the judgements of the queries, for those that have any.

    Raises:
        InvalidTypeError: something else than mappings.
        InvalidInputError: no query has a judgement.
    """
    if not isinstance(qrels, Mapping) or not all(isinstance(judged, Mapping) for judged in qrels.values()):
        raise InvalidTypeError(
            f"qrels must map query ids to relevance by document id, got {type(qrels).__name__}; kayak.read_beir and "
            "kayak.read_trec_qrels give them"
        )
    wanted = list(query_ids)
    kept = {query_id: dict(qrels[query_id]) for query_id in wanted if query_id in qrels}
    if not kept:
        raise InvalidInputError(
            f"none of the {len(wanted)} queries has a judgement: the query ids begin with {wanted[:3]}, those of the "
            f"qrels with {list(qrels)[:3]}"
        )
    return kept


def per_query_metrics(measures: Sequence[Any], qrels: Qrels, run: Run) -> dict[str, dict[str, float]]:
    """Return query id → metric → value for each judged query; one without any document in the run has 0.

    Equal scores are ordered as trec_eval does: by document id, last first.
    """
    import ir_measures

    # pytrec_eval, behind ir-measures, takes plain dicts.
    rankings = {query_id: dict(run.get(query_id, {})) for query_id in qrels}
    values: dict[str, dict[str, float]] = {query_id: {} for query_id in qrels}
    for found in ir_measures.iter_calc(list(measures), dict(qrels), rankings):
        values[found.query_id][str(found.measure)] = float(found.value)
    return {
        query_id: {str(measure): by_name.get(str(measure), 0.0) for measure in measures}
        for query_id, by_name in values.items()
    }
