"""The pictures of the pages about measuring plans, drawn from a test collection in BEIR layout.

    python docs/figures/evaluation.py COLLECTION [--assets docs/assets] [--repeats 1] [--store lancedb]

`COLLECTION` holds `corpus.jsonl`, `queries.jsonl` and `qrels/test.tsv`. Encoder: `hashing`; documents without a word
are left out. Draws `recall-latency.png` (every backend that can run here, three windows, and the store's own search),
`tuned-plan.png` and `explanation.png`, and prints what they show. With `--store lancedb` the native plan is LanceDB's
approximate search through an index. Needs the extras `eval` and `plot`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import kayak

WINDOWS = (50, 200, 800)
BUDGET = 64
RECALL = 0.8
QUERY, DOCUMENT = "wing flutter at high speed", "Flutter of thin wings in high-speed flow"


def main() -> None:
    """Measure, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--assets", type=Path, default=Path("docs/assets"), help="folder of the pictures")
    parser.add_argument(
        "--store", choices=("memory", "lancedb"), default="memory", help="whose search is the native plan"
    )
    parser.add_argument("--repeats", type=int, default=1, help="how often each query is timed")
    arguments = parser.parse_args()
    dataset = kayak.read_beir(arguments.collection)
    texts = {doc_id: text for doc_id, text in dataset.corpus.items() if doc_id not in dataset.empty_documents}
    with (
        tempfile.TemporaryDirectory() as folder,
        kayak.open_store(arguments.store, **({} if arguments.store == "memory" else {"path": folder})) as store,
        kayak.open_text_retriever(encoder="hashing", store=store) as retriever,
    ):
        retriever.upsert_texts(list(texts), list(texts.values()))
        if arguments.store == "lancedb":
            store.create_index()
        print(f"{os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f}")
        compare(retriever, dataset, arguments.assets, arguments.repeats)
        result = kayak.tune_plan(retriever, dataset.queries, recall_target=RECALL)
        print(result.table(), result, sep="\n\n")
        result.plot(arguments.assets / "tuned-plan.png")
    explain(arguments.assets)


def compare(retriever: kayak.LateTextRetriever, dataset: kayak.RetrievalDataset, assets: Path, repeats: int) -> None:
    """Compare exact scans, windows and a store's own search."""
    plans = {
        "exact": kayak.exact_full_scan_search_plan(10),
        **{
            f"proxy {window}": kayak.document_proxy_search_plan(10, window, document_vector_budget=BUDGET)
            for window in WINDOWS
        },
    }
    plans[f"native ({retriever.capabilities().kind})"] = kayak.store_native_search_plan(10, 200)
    start = time.perf_counter()
    comparison = kayak.compare_plans(retriever, dataset.queries, plans, qrels=dataset.qrels, repeats=repeats)
    print(comparison, f"compared in {time.perf_counter() - start:.0f} s", sep="\n")
    comparison.plot(assets / "recall-latency.png")


def explain(assets: Path) -> None:
    """Draw the similarities of a short document."""
    with kayak.open_text_retriever(encoder="hashing", store="memory") as retriever:
        retriever.upsert_texts(["flutter"], [DOCUMENT])
        hit = retriever.search_text(QUERY, k=1)[0]
        kayak.explain(QUERY, retriever, hit).plot(assets / "explanation.png")


if __name__ == "__main__":
    main()
