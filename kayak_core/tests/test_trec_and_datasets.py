"""Runs, judgements and collections: what is read back, and what each malformed file says."""

from __future__ import annotations

import sys
import types
from collections import namedtuple
from pathlib import Path

import kayak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

IDS = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=12).filter(lambda t: t.split() == [t])
SCORES = st.floats(-1e6, 1e6, width=32)
RUNS = st.dictionaries(IDS, st.dictionaries(IDS, SCORES, min_size=1, max_size=6), min_size=1, max_size=4)


@given(RUNS)
def test_a_run_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, run: dict) -> None:
    path = tmp_path_factory.mktemp("trec") / "a.run"
    kayak.write_trec_run(path, run)
    assert kayak.read_trec_run(path) == run
    for query_id, scores in run.items():
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        mine = [(row[2], int(row[3])) for row in rows if row[0] == query_id]
        ordered = sorted(scores.items(), key=lambda pair: (pair[1], pair[0]), reverse=True)
        assert mine == [(doc_id, rank) for rank, (doc_id, _) in enumerate(ordered, start=1)]


def test_other_tools_read_our_runs(tmp_path: Path) -> None:
    ir_measures = pytest.importorskip("ir_measures", reason="ir-measures is not installed (extra eval)")
    run = {"q1": {"a": 1.5, "b": 1.5, "c": np.float32(0.1)}, "q2": {"a": -3.0}}
    kayak.write_trec_run(tmp_path / "our.run", run, tag="mine")
    assert (tmp_path / "our.run").read_text(encoding="utf-8").splitlines()[0] == "q1 Q0 b 1 1.5 mine"
    read = [tuple(each) for each in ir_measures.read_trec_run(str(tmp_path / "our.run"))]
    assert sorted(read) == sorted((q, d, float(score)) for q, scores in run.items() for d, score in scores.items())


def test_qrels(tmp_path: Path) -> None:
    path = tmp_path / "qrels.txt"
    path.write_text("\ufeffq1 0 a 2\nq1 0 b 0\n\nq2\t0\ta\t-1\n", encoding="utf-8")
    assert kayak.read_trec_qrels(path) == {"q1": {"a": 2, "b": 0}, "q2": {"a": -1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1 0 a\n", r"qrels.txt:1: expected `query-id iteration document-id relevance`, got 3 fields: 'q1 0 a'"),
        ("q1 0 a 1\nq1 0 b high\n", r"qrels.txt:2: the relevance must be an integer, got 'high'"),
        ("q1 0 a 1\nq1 0 a 2\n", r"qrels.txt:2: document 'a' is judged twice for query 'q1'"),
        ("\n\n", "qrels.txt is empty"),
    ],
)
def test_malformed_qrels_are_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "qrels.txt").write_text(text, encoding="utf-8")
    with pytest.raises(kayak.InvalidInputError, match=message):
        kayak.read_trec_qrels(tmp_path / "qrels.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1 Q0 a 1 0.5\n", "got 5 fields"),
        ("q1 Q0 a 1 high tag\n", "the score must be a number, got 'high'"),
        ("q1 Q0 a 1 nan tag\n", "the score must be finite, got 'nan'"),
        ("q1 Q0 a 1 2 t\nq1 Q0 a 2 1 t\n", r"a.run:2: document 'a' stands twice in the ranking of query 'q1'"),
    ],
)
def test_malformed_runs_are_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.run").write_text(text, encoding="utf-8")
    with pytest.raises(kayak.InvalidInputError, match=message):
        kayak.read_trec_run(tmp_path / "a.run")


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"q1 0 \xe9 1\n")
    with pytest.raises(kayak.InvalidInputError, match="is not UTF-8 at byte 5"):
        kayak.read_trec_qrels(tmp_path / "latin")
    with pytest.raises(kayak.InvalidInputError, match=r"cannot read .*nowhere.*: No such file or directory"):
        kayak.read_trec_run(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("run", "tag", "error", "message"),
    [
        ({"q 1": {"a": 1.0}}, "t", kayak.InvalidInputError, "the query id 'q 1' cannot be written in TREC format"),
        ({"q": {"": 1.0}}, "t", kayak.InvalidInputError, "the document id '' cannot be written"),
        ({"q": {"a": 1.0}}, "my run", kayak.InvalidInputError, "the tag 'my run' cannot be written"),
        ({"q": {"a": float("nan")}}, "t", kayak.InvalidInputError, "the score of document 'a' for query 'q' is nan"),
        ({"q": {7: 1.0}}, "t", kayak.InvalidTypeError, "the document id must be a string, got int 7"),
        ({"q": ["a"]}, "t", kayak.InvalidTypeError, r"run\['q'\] must map document ids to scores, got list"),
        ([("q", "a", 1.0)], "t", kayak.InvalidTypeError, "run must map query ids to scores by document id, got list"),
    ],
)
def test_runs_that_the_format_cannot_hold(
    run: object, tag: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        kayak.write_trec_run(tmp_path / "a.run", run, tag=tag)  # type: ignore[arg-type]
    assert not (tmp_path / "a.run").exists()


def test_a_run_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(kayak.InvalidInputError, match=r"cannot write the run .*: No such file or directory"):
        kayak.write_trec_run(tmp_path / "no" / "a.run", {"q": {"a": 1.0}})


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(
        '{"_id": "a", "title": "Lift", "text": "of wings"}\n{"_id": "b", "title": "", "text": "drag"}\n\n'
        '{"_id": "c", "title": null, "text": " . "}\n{"_id": "d", "text": ""}\n',
        encoding="utf-8",
    )
    (folder / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "lift"}\n{"_id": "q2", "text": "heat"}\n', encoding="utf-8"
    )
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\ta\t2\nq1\tb\t-1\n", encoding="utf-8")
    return folder


def test_beir(beir: Path) -> None:
    dataset = kayak.read_beir(beir)
    assert dataset.corpus == {"a": "Lift\nof wings", "b": "drag", "c": " . ", "d": ""}
    assert dataset.empty_documents == ("c", "d")
    assert dataset.queries == {"q1": "lift", "q2": "heat"}
    assert dataset.judged_queries == {"q1": "lift"}
    assert dataset.qrels == {"q1": {"a": 2, "b": -1}}
    assert repr(dataset) == "RetrievalDataset('tiny': 4 documents, 2 queries, 2 judgements)"
    assert kayak.read_beir(beir, corpus=False).corpus == {}


def test_beir_with_trec_judgements(beir: Path) -> None:
    (beir / "qrels" / "dev.tsv").write_text("q2 0 b 1\n", encoding="utf-8")
    assert kayak.read_beir(beir, split="dev").qrels == {"q2": {"b": 1}}
    with pytest.raises(kayak.InvalidInputError, match=r"train.tsv' is missing; the splits here are 'dev', 'test'"):
        kayak.read_beir(beir, split="train")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("corpus.jsonl", "{", r"corpus.jsonl:1: no JSON"),
        ("corpus.jsonl", "[1]", r"corpus.jsonl:1: expected an object with the strings _id and text, got '\[1\]'"),
        ("corpus.jsonl", '{"_id": 1, "text": "x"}', "expected an object with the strings _id and text"),
        ("corpus.jsonl", '{"_id": "a", "text": "x", "title": 3}', "'title' must be a string, got int"),
        ("queries.jsonl", '{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}', r"jsonl:2: id 'a' was given already"),
        ("queries.jsonl", "\n", "queries.jsonl is empty"),
        (
            "qrels/test.tsv",
            "query-id\tcorpus-id\tscore\nq1 a 1\n",
            r"test.tsv:2: expected query-id, corpus-id and an int",
        ),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\ta\tx\n", "expected query-id, corpus-id and an integer"),
        (
            "qrels/test.tsv",
            "query-id\tcorpus-id\tscore\nq1\ta\t1\nq1\ta\t2\n",
            r"test.tsv:3: document 'a' is judged twice for query 'q1'",
        ),
    ],
)
def test_malformed_collections_are_named(file: str, text: str, message: str, beir: Path) -> None:
    (beir / file).write_text(text, encoding="utf-8")
    with pytest.raises(kayak.InvalidInputError, match=message):
        kayak.read_beir(beir)


def test_missing_collections_are_named(beir: Path) -> None:
    with pytest.raises(
        kayak.InvalidInputError, match=r"there is no folder .*nowhere.*; a BEIR collection is a folder with"
    ):
        kayak.read_beir(beir / "nowhere")
    (beir / "qrels" / "test.tsv").unlink()
    with pytest.raises(kayak.InvalidInputError, match="there are no judgements here"):
        kayak.read_beir(beir)


Doc = namedtuple("Doc", "doc_id text title")  # noqa: PYI024 - as ir_datasets makes them
Query = namedtuple("Query", "query_id text")  # noqa: PYI024
Qrel = namedtuple("Qrel", "query_id doc_id relevance iteration")  # noqa: PYI024


class Described:
    """A document whose dataset says what its text is."""

    doc_id = "b"

    def default_text(self) -> str:
        return "title and body"


class Dataset:
    """What ir_datasets gives: iterators of named tuples."""

    def __init__(self, *, judged: bool = True) -> None:
        self.judged = judged

    def has_docs(self) -> bool:
        return True

    def docs_iter(self) -> list:
        return [Doc("a", "of wings", "Lift"), Described()]

    def queries_iter(self) -> list:
        return [Query("1", "lift")]

    def has_qrels(self) -> bool:
        return self.judged

    def qrels_iter(self) -> list:
        return [Qrel("1", "a", 3, "0")]

    def dataset_id(self) -> str:
        return "mine/test"


def test_ir_datasets_objects() -> None:
    dataset = kayak.read_ir_dataset(Dataset())
    assert dataset == kayak.RetrievalDataset(
        "mine/test", {"a": "Lift\nof wings", "b": "title and body"}, {"1": "lift"}, {"1": {"a": 3}}
    )
    with pytest.raises(kayak.InvalidInputError, match="this dataset has no qrels; name a split that has"):
        kayak.read_ir_dataset(Dataset(judged=False))
    with pytest.raises(kayak.InvalidTypeError, match=r"expected a dataset of ir_datasets or its name, got int without"):
        kayak.read_ir_dataset(3)


def test_ir_datasets_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> Dataset:
        if name != "mine":
            raise KeyError(name)
        return Dataset()

    package = types.ModuleType("ir_datasets")
    package.load = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ir_datasets", package)
    assert kayak.read_ir_dataset("mine").name == "mine"
    with pytest.raises(kayak.InvalidInputError, match="ir_datasets knows no dataset 'yours'"):
        kayak.read_ir_dataset("yours")
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(
        kayak.MissingDependencyError, match="needs ir_datasets; install it with `pip install ir_datasets`"
    ):
        kayak.read_ir_dataset("mine")
