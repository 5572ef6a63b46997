"""Reads documents from JSON lines and from folders of text files."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import attrs

from kayak.contracts.metadata import normalize_metadata_rows
from kayak.errors import FilterError, InvalidInputError
from kayak.values.coerce import document_ids

TEXT_SUFFIXES = (".txt", ".text", ".md", ".markdown", ".rst", ".adoc", ".org", ".tex")
STDIN = "-"
_ID_FIELDS = ("id", "_id")


@attrs.frozen
class SourceDocument:
    """One document as it was read.

    Attributes:
        place: where it stands, for messages: "corpus.jsonl:12" or "notes/a.md".
        doc_id: its id.
        text: its text.
        metadata: its metadata.
    """

    place: str
    doc_id: str
    text: str
    metadata: dict[str, Any]


@attrs.frozen
class Problem:
    """Something that cannot be read as a document.

    Attributes:
        place: where it stands.
        reason: what is wrong with it.
    """

    place: str
    reason: str


@attrs.frozen
class Fields:
    """Names of the fields of a JSON line.

    Attributes:
        doc_id: None takes "id", or "_id" as in BEIR corpora.
        text: the text.
        title: put before the text, with a line break, where a line has it.
        metadata: an object of metadata. Fields that are none of these are metadata as well.
    """

    doc_id: str | None = None
    text: str = "text"
    title: str = "title"
    metadata: str = "metadata"


def read_documents(
    source: str, *, fields: Fields, suffixes: tuple[str, ...] = TEXT_SUFFIXES
) -> Iterator[SourceDocument | Problem]:
    """Read a JSON-lines file, a folder of text files, one text file, or JSON lines from stdin ("-").

    A repeated id is a problem.

    Raises:
        InvalidInputError: the source is not there, cannot be read, or holds nothing to read.
    """
    seen: dict[str, str] = {}
    count = 0
    for entry in _entries(source, fields, suffixes):
        count += 1
        if isinstance(entry, SourceDocument) and entry.doc_id in seen:
            yield Problem(entry.place, f"id {entry.doc_id!r} was given already in {seen[entry.doc_id]}")
            continue
        if isinstance(entry, SourceDocument):
            seen[entry.doc_id] = entry.place
        yield entry
    if not count:
        wanted = f"files with {', '.join(suffixes)}" if Path(source).is_dir() else "documents"
        raise InvalidInputError(f"{source} holds no {wanted}")


def count_documents(source: str, suffixes: tuple[str, ...] = TEXT_SUFFIXES) -> int | None:
    """Count lines or files, for a progress bar; None where that needs reading what can be read only once."""
    path = Path(source)
    if path.is_dir():
        return len(_text_files(path, suffixes))
    if source == STDIN or not path.is_file():
        return None
    if path.suffix.lower() in suffixes:
        return 1
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def _entries(source: str, fields: Fields, suffixes: tuple[str, ...]) -> Iterator[SourceDocument | Problem]:
    path = Path(source)
    if source == STDIN:
        if sys.stdin is None or sys.stdin.closed:
            raise InvalidInputError("stdin is closed; give a file or a folder instead of '-'")
        yield from _json_lines("stdin", sys.stdin.buffer, fields)
    elif path.is_dir():
        yield from (_text_file(file, file.relative_to(path).as_posix()) for file in _text_files(path, suffixes))
    elif not path.exists():
        raise InvalidInputError(f"there is no file or folder {source!r}; give a JSONL file, a folder of texts, or '-'")
    elif path.suffix.lower() in suffixes:
        yield _text_file(path, path.name)
    else:
        with path.open("rb") as file:
            yield from _json_lines(str(source), file, fields)


def _text_files(root: Path, suffixes: tuple[str, ...]) -> list[Path]:
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(folder)
        found += [here / f for f in files if not f.startswith(".") and Path(f).suffix.lower() in suffixes]
    return sorted(found)


def _text_file(path: Path, doc_id: str) -> SourceDocument | Problem:
    try:
        return SourceDocument(str(path), document_ids([doc_id])[0], path.read_text(encoding="utf-8-sig"), {})
    except UnicodeDecodeError as error:
        return Problem(str(path), f"not UTF-8 at byte {error.start}")
    except InvalidInputError as error:  # a file name that is no text
        return Problem(repr(str(path)), str(error))
    except OSError as error:
        return Problem(str(path), f"cannot be read: {error.strerror}")


def _json_lines(name: str, file: IO[bytes], fields: Fields) -> Iterator[SourceDocument | Problem]:
    for number, line in enumerate(file, start=1):
        raw = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if raw.strip():
            yield _json_document(f"{name}:{number}", raw, fields)


def _json_document(place: str, line: bytes, fields: Fields) -> SourceDocument | Problem:
    try:
        row = json.loads(line.decode("utf-8"), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        return Problem(place, f"not UTF-8 at byte {error.start} of the line")
    except (ValueError, RecursionError) as error:
        return Problem(place, f"no JSON: {error}")
    if not isinstance(row, dict):
        return Problem(place, f"expected a JSON object, got {type(row).__name__}")
    try:
        return _document(place, row, fields)
    except InvalidInputError as error:
        return Problem(place, str(error))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):  # json would keep the last and drop the others
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} stands twice in one object")
    return row


def _document(place: str, row: Mapping[str, Any], fields: Fields) -> SourceDocument:
    id_field = fields.doc_id or next((name for name in _ID_FIELDS if name in row), _ID_FIELDS[0])
    doc_id = _field(row, id_field)
    if isinstance(doc_id, int) and not isinstance(doc_id, bool):
        doc_id = str(doc_id)
    if not isinstance(doc_id, str):
        raise InvalidInputError(f"field {id_field!r} must be a string or an integer, got {type(doc_id).__name__}")
    text = _string(row, fields.text)
    if row.get(fields.title):
        text = f"{_string(row, fields.title)}\n{text}" if text else _string(row, fields.title)
    given = row.get(fields.metadata)
    if given is not None and not isinstance(given, dict):
        raise InvalidInputError(f"field {fields.metadata!r} must be an object, got {type(given).__name__}")
    known = {id_field, fields.text, fields.title, fields.metadata}
    others = {name: value for name, value in row.items() if name not in known}
    twice = sorted(set(others) & set(given or {}))
    if twice:
        raise InvalidInputError(f"{twice[0]!r} stands both in the line and in its {fields.metadata!r}; keep one")
    checked = document_ids([doc_id])[0]
    try:
        rows = normalize_metadata_rows([{**others, **(given or {})}], document_count=1, doc_ids=[checked])
    except FilterError as error:
        raise InvalidInputError(str(error)) from error
    return SourceDocument(place, checked, text, rows[0] if rows else {})


def _field(row: Mapping[str, Any], name: str) -> Any:
    if name not in row:
        raise InvalidInputError(f"field {name!r} is missing; the line has {', '.join(map(repr, row)) or 'none'}")
    return row[name]


def _string(row: Mapping[str, Any], name: str) -> str:
    value = _field(row, name)
    if not isinstance(value, str):
        raise InvalidInputError(f"field {name!r} must be a string, got {type(value).__name__}")
    return value
