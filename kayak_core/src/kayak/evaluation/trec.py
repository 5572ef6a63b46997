"""Run and qrels files as trec_eval reads them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from kayak.errors import InvalidInputError, InvalidTypeError

Run = Mapping[str, Mapping[str, float]]
"""Query id → document id → score."""
Qrels = Mapping[str, Mapping[str, int]]
"""Query id → document id → graded relevance; 0 and below mean not relevant."""

_QRELS_FORM = "query-id iteration document-id relevance"
_RUN_FORM = "query-id Q0 document-id rank score tag"


def read_trec_qrels(path: str | Path) -> dict[str, dict[str, int]]:
    """Read relevance judgements, one `query-id iteration document-id relevance` a line.

    Raises:
        InvalidInputError: the file cannot be read, a line has another form, or a document is judged twice.
    """
    qrels: dict[str, dict[str, int]] = {}
    for place, (query_id, _, doc_id, grade) in _fields(path, 4, _QRELS_FORM):
        try:
            relevance = int(grade)
        except ValueError as error:
            raise InvalidInputError(f"{place}: the relevance must be an integer, got {grade!r}") from error
        judged = qrels.setdefault(query_id, {})
        if doc_id in judged:
            raise InvalidInputError(f"{place}: document {doc_id!r} is judged twice for query {query_id!r}; keep one")
        judged[doc_id] = relevance
    return qrels


def read_trec_run(path: str | Path) -> dict[str, dict[str, float]]:
    """Read a run, one `query-id Q0 document-id rank score tag` a line; as in trec_eval the rank is not used.

    Raises:
        InvalidInputError: the file cannot be read, a line has another form, or a document stands twice in a ranking.
    """
    run: dict[str, dict[str, float]] = {}
    for place, (query_id, _, doc_id, _, value, _) in _fields(path, 6, _RUN_FORM):
        try:
            score = float(value)
        except ValueError as error:
            raise InvalidInputError(f"{place}: the score must be a number, got {value!r}") from error
        if not math.isfinite(score):
            raise InvalidInputError(f"{place}: the score must be finite, got {value!r}")
        ranked = run.setdefault(query_id, {})
        if doc_id in ranked:
            raise InvalidInputError(f"{place}: document {doc_id!r} stands twice in the ranking of query {query_id!r}")
        ranked[doc_id] = score
    return run


def write_trec_run(path: str | Path, run: Run, *, tag: str = "kayak") -> None:
    """Write a run in TREC format, best document first; scores keep all their digits.

    trec_eval orders a run by score and, where scores are equal, by document id, last first; so does this.

    Args:
        path: the file; its folder must exist.
        run: query id → document id → score, for example `result.run`.
        tag: names the run; no white space.

    Raises:
        InvalidTypeError: something else than mappings of numbers.
        InvalidInputError: an id or the tag is empty or holds white space, which the format cannot express, a score is
            not finite, or the file cannot be written. Nothing is written then.
    """
    lines = [f"{line} {_token(tag, 'tag')}\n" for line in _run_lines(run)]
    try:
        Path(path).write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"cannot write the run {str(path)!r}: {error.strerror or error}") from error


def trec_order(scores: Mapping[str, float]) -> list[str]:
    """Return the documents of one ranking in trec_eval's order."""
    return sorted(scores, key=lambda doc_id: (scores[doc_id], doc_id), reverse=True)


def _run_lines(run: Run) -> Iterator[str]:
    if not isinstance(run, Mapping):
        raise InvalidTypeError(f"run must map query ids to scores by document id, got {type(run).__name__}")
    for query_id, scores in run.items():
        if not isinstance(scores, Mapping):
            raise InvalidTypeError(
                f"run[{query_id!r}] must map document ids to scores, got {type(scores).__name__}; "
                "an EvaluationResult has .run"
            )
        for rank, doc_id in enumerate(trec_order(scores), start=1):
            score = float(scores[doc_id])
            if not math.isfinite(score):
                raise InvalidInputError(f"the score of document {doc_id!r} for query {query_id!r} is {score}")
            yield f"{_token(query_id, 'query id')} Q0 {_token(doc_id, 'document id')} {rank} {score!r}"


def _token(value: str, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidTypeError(f"the {what} must be a string, got {type(value).__name__} {value!r:.60}")
    if not value or len(value.split()) != 1 or value != value.strip():
        raise InvalidInputError(
            f"the {what} {value!r} cannot be written in TREC format, whose fields are separated by white space; "
            "rename it"
        )
    return value


def _fields(path: str | Path, count: int, form: str) -> Iterator[tuple[str, list[str]]]:
    found = False
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if not fields:
            continue
        found = True
        place = f"{path}:{number}"
        if len(fields) != count:
            raise InvalidInputError(f"{place}: expected `{form}`, got {len(fields)} fields: {line.strip()!r:.80}")
        yield place, fields
    if not found:
        raise InvalidInputError(f"{path} is empty; expected lines of `{form}`")


def read_lines(path: str | Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 text file.

    Raises:
        InvalidInputError: the file is not there, cannot be read or is no UTF-8.
    """
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            yield from file
    except OSError as error:
        raise InvalidInputError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{str(path)!r} is not UTF-8 at byte {error.start}") from error
