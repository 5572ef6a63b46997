"""Runs evaluations, comparisons, tuning and benchmarks for the command line, and shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import typer

from kayak.cli.arguments import Corpus
from kayak.cli.console import note, stdout, write_json, write_text
from kayak.contracts import CandidateGenerator, SearchPlan
from kayak.evaluation import compare_plans, evaluate, measure_scan_rates, read_ir_dataset, tune_plan, write_trec_run
from kayak.evaluation.comparing import DEFAULT_METRICS as COMPARED_METRICS
from kayak.evaluation.datasets import RetrievalDataset, read_beir, read_beir_queries, read_qrels
from kayak.evaluation.evaluating import DEFAULT_METRICS
from kayak.searching import document_proxy_candidate_generator, store_native_candidate_generator

_IR_DATASETS = "irds:"

Source = tuple[str, str, Path | None, int | None]
"""Collection, split, a file of judgements, and the number of queries, as the command line gives them."""


def run_evaluation(
    corpus: Corpus,
    source: Source,
    *,
    plan: SearchPlan,
    metrics: Sequence[str] | None,
    backend: str | None,
    repeats: int,
    run: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Evaluate one plan and write the result."""
    dataset = _dataset(source)
    with corpus.open(create=False) as retriever:
        result = evaluate(
            retriever,
            dataset.queries,
            dataset.qrels,
            plan=plan,
            metrics=metrics or DEFAULT_METRICS,
            backend=backend,
            repeats=repeats,
        )
    if run is not None:
        write_trec_run(run, result.run)
        note(f"wrote {run}")
    _draw(result, plot)
    if as_json:
        write_json(result.to_dict())
    else:
        write_text(str(result))


def run_comparison(
    corpus: Corpus,
    source: Source,
    *,
    plans: Mapping[str, SearchPlan],
    metrics: Sequence[str] | None,
    backends: Sequence[str] | None,
    repeats: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Compare plans and write the table."""
    dataset = _dataset(source)
    with corpus.open(create=False) as retriever:
        comparison = compare_plans(
            retriever,
            dataset.queries,
            plans,
            qrels=dataset.qrels,
            metrics=metrics or COMPARED_METRICS,
            backends=backends,
            repeats=repeats,
        )
    _draw(comparison, plot)
    if as_json:
        write_json(comparison.to_dict())
        return
    note(str(comparison).partition("\n")[0])
    stdout().print(comparison)


def run_tuning(
    corpus: Corpus,
    collection: str,
    limit: int | None,
    *,
    recall_target: float,
    k: int,
    confidence: float,
    candidate_ks: Sequence[int] | None,
    document_budgets: Sequence[int] | None,
    native: bool,
    backend: str | None,
    seed: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Tune a plan and write what was found.

    Raises:
        typer.Exit: with 1 where no plan reaches the target.
    """
    queries = _queries(collection, limit)
    with corpus.open(create=False) as retriever:
        result = tune_plan(
            retriever,
            queries,
            recall_target=recall_target,
            k=k,
            confidence=confidence,
            candidate_ks=candidate_ks,
            generators=_generators(document_budgets, native=native),
            backend=backend,
            seed=seed,
        )
    _draw(result, plot)
    if as_json:
        write_json(result.to_dict())
    else:
        stdout().print(result.table().rich())
        write_text(f"\n{result}")
    if not result.reached:
        raise typer.Exit(1)


def run_bench(*, plot: Path | None, as_json: bool, **options: Any) -> None:
    """Measure scan rates and write the table."""
    rates = measure_scan_rates(**options)
    _draw(rates, plot)
    if as_json:
        write_json(rates.to_dict())
        return
    note(rates.head())
    stdout().print(rates)


def _dataset(source: Source) -> RetrievalDataset:
    collection, split, judgements, limit = source
    if collection.startswith(_IR_DATASETS):
        read = read_ir_dataset(collection.removeprefix(_IR_DATASETS))
        queries, qrels = dict(read.queries), dict(read.qrels)
    elif judgements is None:
        read = read_beir(collection, split=split, corpus=False)
        queries, qrels = dict(read.queries), dict(read.qrels)
    else:
        queries, qrels = read_beir_queries(collection), {}
    if judgements is not None:
        qrels = dict(read_qrels(judgements))
    judged = {query_id: text for query_id, text in queries.items() if query_id in qrels}
    chosen = dict(islice((judged or queries).items(), limit))
    return RetrievalDataset(collection, {}, chosen, qrels)


def _queries(collection: str, limit: int | None) -> dict[str, str]:
    if collection.startswith(_IR_DATASETS):
        queries = dict(read_ir_dataset(collection.removeprefix(_IR_DATASETS)).queries)
    else:
        queries = read_beir_queries(collection)
    return dict(islice(queries.items(), limit))


def _generators(document_budgets: Sequence[int] | None, *, native: bool) -> list[CandidateGenerator] | None:
    if native:
        return [store_native_candidate_generator()]
    if not document_budgets:
        return None
    return [document_proxy_candidate_generator(document_vector_budget=budget) for budget in document_budgets]


def _draw(result: Any, plot: Path | None) -> None:
    """Draw the picture that is asked for."""
    if plot is not None:
        note(f"wrote {result.plot(plot)}")
