"""The commands that measure: `kayak eval`, `compare`, `tune` and `bench`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from kayak.cli.arguments import DEFAULT_ENCODER, DEFAULT_STORE, Corpus
from kayak.cli.options import Encoder, EncoderArguments, Json, Plot, Store, StoreArguments, StorePath
from kayak.cli.plan_arguments import FORMS, default_plan_names, named_plans, parse_plan

Collection = Annotated[
    str,
    typer.Argument(
        metavar="COLLECTION",
        help="A folder in BEIR layout with queries.jsonl and qrels/, or irds:NAME for a dataset of ir_datasets.",
    ),
]
Split = Annotated[str, typer.Option(help="Which qrels/SPLIT.tsv to read.")]
Qrels = Annotated[
    Path | None,
    typer.Option("--qrels", metavar="FILE", help="Judgements in TREC or BEIR format, instead of the split's."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Take only the first so many queries.")]
Backend = Annotated[str | None, typer.Option(help="Executor; the fastest that can run here unless given.")]
Backends = Annotated[
    list[str] | None, typer.Option("--backend", help="Executor; may be repeated. Unless given: all that can run here.")
]


def evaluate(
    collection: Collection,
    *,
    store: Store = DEFAULT_STORE,
    path: StorePath = None,
    store_arg: StoreArguments = None,
    encoder: Encoder = DEFAULT_ENCODER,
    encoder_arg: EncoderArguments = None,
    split: Split = "test",
    qrels: Qrels = None,
    limit: Limit = None,
    plan: Annotated[str, typer.Option(help=f"{FORMS}.")] = "exact",
    k: Annotated[int, typer.Option("-k", min=1, help="Documents that the plan returns.")] = 100,
    metric: Annotated[
        list[str] | None, typer.Option(help="As ir-measures names it; may be repeated. Unless given: nDCG@10 R@100")
    ] = None,
    backend: Backend = None,
    repeats: Annotated[int, typer.Option(min=1, help="How often each query is timed.")] = 1,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="FILE", help="Write the rankings in TREC format into this file.")
    ] = None,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Measure one plan: metrics, recall against the exact scan, latency, vectors and bytes.

    The documents are those of a store that `kayak index` has filled; queries and judgements come from COLLECTION.
    """
    from kayak.cli.measuring import run_evaluation

    corpus = Corpus(store, path, store_arg or (), encoder, encoder_arg or ())
    run_evaluation(
        corpus,
        (collection, split, qrels, limit),
        plan=parse_plan(plan, k),
        metrics=metric,
        backend=backend,
        repeats=repeats,
        run=run,
        plot=plot,
        as_json=as_json,
    )


def compare(
    collection: Collection,
    *,
    store: Store = DEFAULT_STORE,
    path: StorePath = None,
    store_arg: StoreArguments = None,
    encoder: Encoder = DEFAULT_ENCODER,
    encoder_arg: EncoderArguments = None,
    split: Split = "test",
    qrels: Qrels = None,
    limit: Limit = None,
    plan: Annotated[
        list[str] | None,
        typer.Option(help=f"{FORMS}; may be repeated. Unless given: exact, and proxy with windows of 5, 20 and 80 k."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Documents that each plan returns.")] = 10,
    metric: Annotated[
        list[str] | None, typer.Option(help="As ir-measures names it; may be repeated. Unless given: nDCG@10")
    ] = None,
    backend: Backends = None,
    repeats: Annotated[int, typer.Option(min=1, help="How often each query is timed.")] = 3,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Measure plans and backends side by side, in turns, over the same queries."""
    from kayak.cli.measuring import run_comparison

    corpus = Corpus(store, path, store_arg or (), encoder, encoder_arg or ())
    run_comparison(
        corpus,
        (collection, split, qrels, limit),
        plans=named_plans(plan or default_plan_names(k), k),
        metrics=metric,
        backends=backend,
        repeats=repeats,
        plot=plot,
        as_json=as_json,
    )


def tune(
    collection: Collection,
    *,
    store: Store = DEFAULT_STORE,
    path: StorePath = None,
    store_arg: StoreArguments = None,
    encoder: Encoder = DEFAULT_ENCODER,
    encoder_arg: EncoderArguments = None,
    limit: Limit = None,
    recall: Annotated[float, typer.Option(help="Share of the exact result to keep, between 0 and 1.")] = 0.9,
    k: Annotated[int, typer.Option("-k", min=1, help="Documents that the plan returns.")] = 10,
    confidence: Annotated[float, typer.Option(help="Confidence of the interval, between 0 and 1.")] = 0.95,
    candidate_k: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Window to try; may be repeated. Unless given: from k to the corpus in steps of √2."),
    ] = None,
    document_budget: Annotated[
        list[int] | None,
        typer.Option(
            min=0, help="Vectors that a document's mean takes, 0 for all; may be repeated. Unless given: 0 32 64 128"
        ),
    ] = None,
    native: Annotated[
        bool, typer.Option("--native", help="Tune the store's own search instead of document means.")
    ] = False,
    backend: Backend = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split of the queries.")] = 0,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Find the cheapest window that keeps a share of the exact result on queries that did not choose it.

    Ends with 1 where no window does. COLLECTION needs only queries.jsonl; judgements are not read.
    """
    from kayak.cli.measuring import run_tuning

    if native and document_budget:
        raise typer.BadParameter("--native and --document-budget name two different first stages; give one of them")
    corpus = Corpus(store, path, store_arg or (), encoder, encoder_arg or ())
    run_tuning(
        corpus,
        collection,
        limit,
        recall_target=recall,
        k=k,
        confidence=confidence,
        candidate_ks=candidate_k,
        document_budgets=document_budget,
        native=native,
        backend=backend,
        seed=seed,
        plot=plot,
        as_json=as_json,
    )


def bench(
    *,
    backend: Backends = None,
    documents: Annotated[int, typer.Option(min=1, help="Number of documents.")] = 4_000,
    vectors: Annotated[int, typer.Option(min=1, help="Vectors of each document.")] = 100,
    dim: Annotated[int, typer.Option(min=1, help="Dimension of the vectors.")] = 128,
    query_vectors: Annotated[int, typer.Option(min=1, help="Vectors of the query.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each, in turns.")] = 7,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Measure this machine's exact-scan rate by each backend, beside its SGEMM and its memory."""
    from kayak.cli.measuring import run_bench

    run_bench(
        backends=backend,
        document_count=documents,
        vectors_per_document=vectors,
        vector_dim=dim,
        query_vector_count=query_vectors,
        rounds=rounds,
        plot=plot,
        as_json=as_json,
    )


def evaluation_commands() -> dict[str, Callable[..., None]]:
    """Return the commands by name."""
    return {"eval": evaluate, "compare": compare, "tune": tune, "bench": bench}
