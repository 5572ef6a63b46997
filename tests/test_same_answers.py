"""One real collection in every store: exact search answers the same, and the stores' own searches are measured."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import kayak
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("KAYAK_TEST_DATA") or ROOT.parent / "shared" / "data")
DIM = 32
"""Small, so that five databases take in the whole collection in a minute; the answers do not depend on it."""

QUERIES, WINDOW = 10, 50
POOLED = ("chromadb",)
"""Stores whose own search compares mean vectors; those of a lexical encoder say little about its exact ranking."""


def _module(path: Path) -> object:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _postgres(folder: Path, stack: ExitStack) -> kayak.LateStore:
    server = _module(ROOT / "plugins" / "kayak-pgvector" / "tests" / "pg_server.py")
    try:
        url = stack.enter_context(server.postgres_url())
    except server.NoServerError as error:
        pytest.skip(str(error))
    return kayak.open_store("pgvector", dsn=url, table_name="same_answers")


def _weaviate(folder: Path, stack: ExitStack) -> kayak.LateStore:
    url = os.environ.get("KAYAK_TEST_WEAVIATE_URL")
    if not url:
        pytest.skip("no Weaviate server: set KAYAK_TEST_WEAVIATE_URL")
    return kayak.open_store("weaviate", url=url, collection_name="SameAnswers")


OPENERS: dict[str, Callable[[Path, ExitStack], kayak.LateStore]] = {
    "kayak": lambda folder, stack: kayak.open_store("kayak", path=folder / "kayak"),
    "lancedb": lambda folder, stack: kayak.open_store("lancedb", path=folder / "lancedb"),
    "pgvector": _postgres,
    "qdrant": lambda folder, stack: kayak.open_store("qdrant", path=":memory:", collection_name="same_answers"),
    "chromadb": lambda folder, stack: kayak.open_store("chromadb", path=folder / "chroma"),
    "weaviate": _weaviate,
}


@pytest.fixture(scope="module")
def collection() -> kayak.LateDocuments:
    folder = DATA / "cranfield"
    if not folder.exists():
        pytest.skip(f"the test collection is not at {folder}; set KAYAK_TEST_DATA to a folder that holds cranfield/")
    with (folder / "corpus.jsonl").open(encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["text"]]
    documents = kayak.open_encoder("hashing", dim=DIM).encode_documents(
        [row["_id"] for row in rows], [f"{row['title']} {row['text']}".strip() for row in rows]
    )
    assert documents.document_count > 1390
    return documents


@pytest.fixture(scope="module")
def queries(collection: kayak.LateDocuments) -> list[kayak.LateQuery]:
    with (DATA / "cranfield" / "queries.jsonl").open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines][:QUERIES]
    encoder = kayak.open_encoder("hashing", dim=DIM)
    return [encoder.encode_query(text) for text in texts]


@pytest.fixture(scope="module")
def expected(
    collection: kayak.LateDocuments, queries: list[kayak.LateQuery]
) -> list[tuple[dict[str, float], tuple[str, ...]]]:
    index = collection.pack()
    answers = []
    for query in queries:
        scores = kayak.maxsim(query, index)
        best = tuple(hit.doc_id for hit in scores.topk(10))
        answers.append((dict(zip(scores.doc_ids, scores.values.tolist(), strict=True)), best))
    return answers


@pytest.fixture(scope="module", params=list(OPENERS))
def store(
    request: pytest.FixtureRequest, collection: kayak.LateDocuments, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[kayak.LateStore]:
    if request.param not in kayak.available_store_kinds():
        pytest.skip(f"the store kind {request.param!r} is not installed; `pip install kayak-{request.param}` brings it")
    with ExitStack() as stack:
        opened = stack.enter_context(OPENERS[request.param](tmp_path_factory.mktemp(request.param), stack))
        rows = [{"odd": bool(number % 2)} for number in range(collection.document_count)]
        opened.upsert(collection, metadata=rows)
        yield opened
        opened.delete(collection.doc_ids)


def test_exact_search_gives_the_same_ids_and_scores(store, collection, queries, expected):
    index = store.load_index()
    assert sorted(index.doc_ids) == sorted(collection.doc_ids)
    for query, (scores, best) in zip(queries, expected, strict=True):
        found = kayak.maxsim(query, index)
        np.testing.assert_allclose(found.values, [scores[doc_id] for doc_id in found.doc_ids], rtol=1e-6)
        hits = kayak.search_with_plan(query, store, kayak.exact_full_scan_search_plan(10)).hits
        assert tuple(hit.doc_id for hit in hits) == best


def test_every_matrix_comes_back_to_the_bit(store, collection):
    index = store.load_index(doc_ids=collection.doc_ids)
    assert index.doc_ids == collection.doc_ids
    assert np.array_equal(index.as_packed_token_matrix(), collection.pack().as_packed_token_matrix())


def test_the_stores_own_search_finds_what_it_promises(store, collection, queries, expected):
    """Exact searches have the exact top ten among their candidates, pooled ones the documents with the best means."""
    kind = store.capabilities().kind
    plan = kayak.store_native_search_plan(10, WINDOW)
    wanted = [set(best) for _, best in expected]
    if kind in POOLED:
        means = np.array([matrix.mean(axis=0) for matrix in collection.token_matrices])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        products = [means @ query.as_vector_matrix().mean(axis=0) for query in queries]
        wanted = [{collection.doc_ids[i] for i in np.argsort(-values)[:WINDOW]} for values in products]
    found = 0
    for query, best in zip(queries, wanted, strict=True):
        window = set(kayak.search_with_plan(query, store, plan).candidate_stage.candidate_doc_ids)
        assert len(window) == WINDOW
        found += len(window & best)
    recall = found / sum(map(len, wanted))
    assert recall >= (1.0 if store.capabilities().native_candidates == "exact" else 0.95), (
        f"{kind}: recall {recall:.2f}"
    )


def test_a_filter_gives_the_same_documents(store, collection, queries, expected):
    wanted = {doc_id for number, doc_id in enumerate(collection.doc_ids) if number % 2}
    index = store.load_index(where={"odd": True})
    assert set(index.doc_ids) == wanted
    plan = kayak.store_native_search_plan(5, WINDOW)
    result = kayak.search_with_plan(queries[0], store, plan, where={"odd": True})
    assert {hit.doc_id for hit in result.hits} <= wanted
    assert len(result.candidate_stage.candidate_doc_ids) == WINDOW
