"""Test collections: documents, queries and judgements from BEIR folders and from ir_datasets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from kayak.errors import InvalidInputError, InvalidTypeError, MissingDependencyError
from kayak.evaluation.trec import read_lines, read_trec_qrels

_QRELS_HEADER = ("query-id", "corpus-id", "score")


@attrs.frozen(repr=False)
class RetrievalDataset:
    """A test collection.

    Attributes:
        name: what it is called.
        corpus: document id → text; a title stands before the text, on a line of its own.
        queries: query id → text.
        qrels: query id → document id → graded relevance; 0 and below mean not relevant.
    """

    name: str
    corpus: Mapping[str, str]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]

    @property
    def judged_queries(self) -> dict[str, str]:
        """The queries that have a judgement, in their order: those that a metric can be computed for."""
        return {query_id: text for query_id, text in self.queries.items() if query_id in self.qrels}

    @property
    def empty_documents(self) -> tuple[str, ...]:
        """Ids of documents without any letter or digit, which no encoder can turn into vectors."""
        return tuple(
            doc_id for doc_id, text in self.corpus.items() if not any(character.isalnum() for character in text)
        )

    def __repr__(self) -> str:
        judgements = sum(map(len, self.qrels.values()))
        return (
            f"RetrievalDataset({self.name!r}: {len(self.corpus):,} documents, {len(self.queries):,} queries, "
            f"{judgements:,} judgements)"
        )


def read_beir(path: str | Path, *, split: str = "test", corpus: bool = True) -> RetrievalDataset:
    """Read a collection in BEIR layout: `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`.

    A line of the corpus has `_id`, `text` and maybe `title`; a line of the queries `_id` and `text`; the judgements are
    a table `query-id`, `corpus-id`, `score` with that header (Thakur et al., BEIR, arXiv 2104.08663).

    Args:
        path: the folder.
        split: which judgements to read; the queries kept are all, see `RetrievalDataset.judged_queries`.
        corpus: whether to read the documents, or leave `corpus` empty where they are indexed already.

    Raises:
        InvalidInputError: a file is missing or malformed; the message names the line.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InvalidInputError(
            f"there is no folder {str(path)!r}; a BEIR collection is a folder with corpus.jsonl, queries.jsonl and "
            "qrels/test.tsv"
        )
    judgements = folder / "qrels" / f"{split}.tsv"
    if not judgements.is_file():
        splits = sorted(file.stem for file in (folder / "qrels").glob("*.tsv"))
        there = f"the splits here are {', '.join(map(repr, splits))}" if splits else "there are no judgements here"
        raise InvalidInputError(f"{str(judgements)!r} is missing; {there}")
    documents = _texts(folder / "corpus.jsonl", with_title=True) if corpus else {}
    return RetrievalDataset(folder.resolve().name, documents, read_beir_queries(folder), read_qrels(judgements))


def read_beir_queries(path: str | Path) -> dict[str, str]:
    """Read only the queries of a collection in BEIR layout.

    Raises:
        InvalidInputError: the file is missing or malformed.
    """
    return _texts(Path(path) / "queries.jsonl", with_title=False)


def read_qrels(path: str | Path) -> dict[str, dict[str, int]]:
    """Read judgements: BEIR's table with its header, or TREC's four columns.

    Raises:
        InvalidInputError: the file cannot be read, or a line is neither.
    """
    lines = read_lines(path)
    first = tuple(next(lines, "").rstrip("\n").split("\t"))
    if first[:3] != _QRELS_HEADER:
        return read_trec_qrels(path)
    qrels: dict[str, dict[str, int]] = {}
    for number, line in enumerate(lines, start=2):
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) != 3 or not _is_integer(fields[2]):
            raise InvalidInputError(
                f"{path}:{number}: expected query-id, corpus-id and an integer score, separated by tabs, got "
                f"{line.strip()!r:.80}"
            )
        judged = qrels.setdefault(fields[0], {})
        if fields[1] in judged:
            raise InvalidInputError(
                f"{path}:{number}: document {fields[1]!r} is judged twice for query {fields[0]!r}; keep one"
            )
        judged[fields[1]] = int(fields[2])
    return qrels


def read_ir_dataset(dataset: str | Any) -> RetrievalDataset:
    """Read a dataset of the package ir_datasets, which downloads what is not on this machine.

    Args:
        dataset: its name, for example "cranfield" or "beir/scifact/test", or the object from `ir_datasets.load`.

    Raises:
        MissingDependencyError: a name is given and ir_datasets is not installed.
        InvalidInputError: no dataset has that name, or it lacks documents, queries or judgements.
        InvalidTypeError: the object is no dataset.
    """
    found = _loaded(dataset) if isinstance(dataset, str) else dataset
    iterators = {}
    for part in ("docs", "queries", "qrels"):
        has, iterate = getattr(found, f"has_{part}", None), getattr(found, f"{part}_iter", None)
        if not callable(iterate):
            raise InvalidTypeError(
                f"expected a dataset of ir_datasets or its name, got {type(found).__name__} without {part}_iter()"
            )
        if callable(has) and not has():
            raise InvalidInputError(
                f"this dataset has no {part}; name a split that has, for example 'beir/scifact/test'"
            )
        iterators[part] = iterate
    name = dataset if isinstance(dataset, str) else _dataset_name(found)
    corpus = {each.doc_id: _ir_text(each) for each in iterators["docs"]()}
    queries = {each.query_id: _ir_text(each) for each in iterators["queries"]()}
    qrels: dict[str, dict[str, int]] = {}
    for each in iterators["qrels"]():
        qrels.setdefault(each.query_id, {})[each.doc_id] = int(each.relevance)
    return RetrievalDataset(name, corpus, queries, qrels)


def _loaded(name: str) -> Any:
    try:
        import ir_datasets
    except ImportError as error:
        raise MissingDependencyError(
            f"reading {name!r} needs ir_datasets; install it with `pip install ir_datasets`, or use kayak.read_beir"
        ) from error
    try:
        return ir_datasets.load(name)
    except KeyError as error:
        raise InvalidInputError(
            f"ir_datasets knows no dataset {name!r}; the names are listed on https://ir-datasets.com"
        ) from error


def _dataset_name(dataset: Any) -> str:
    named = getattr(dataset, "dataset_id", None)
    return str(named()) if callable(named) else type(dataset).__name__


def _ir_text(entry: Any) -> str:
    """Return the text of a document or query; ir_datasets defines what it is for each dataset as `default_text`."""
    default = getattr(entry, "default_text", None)
    if callable(default):
        return str(default())
    text = str(entry.text)
    title = getattr(entry, "title", "")
    return f"{title}\n{text}" if title else text


def _texts(path: Path, *, with_title: bool) -> dict[str, str]:
    texts: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        row = _row(line, f"{path}:{number}")
        title = row.get("title") or "" if with_title else ""
        if not isinstance(title, str):
            raise InvalidInputError(f"{path}:{number}: 'title' must be a string, got {type(title).__name__}")
        if row["_id"] in texts:
            raise InvalidInputError(f"{path}:{number}: id {row['_id']!r} was given already; ids must be unique")
        texts[row["_id"]] = "\n".join(part for part in (title, row["text"]) if part)
    if not texts:
        raise InvalidInputError(f"{path} is empty; expected one JSON object a line, with _id and text")
    return texts


def _row(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{place}: no JSON: {error}") from error
    if not isinstance(row, dict) or not all(isinstance(row.get(field), str) for field in ("_id", "text")):
        raise InvalidInputError(f"{place}: expected an object with the strings _id and text, got {line.strip()!r:.80}")
    return row


def _is_integer(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True
