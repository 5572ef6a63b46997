"""Filter terms: the strings by which Weaviate's inverted index finds documents with a metadata value.

A document with the metadata `{"year": 1960}` has the terms `["year"]` and `["year",1960]`: canonical JSON in ASCII,
so that equal values give equal strings (1 and 1.0), different ones do not (1, true and "1"), and neither white space
nor case nor normalisation can make a difference in the database.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import kayak

HAS_TEXT = "text"
"""Term of the documents that have a text."""

HAS_METADATA = "metadata"
"""Term of the documents whose metadata are not empty."""

_LONGEST = 240


def key_term(key: str) -> str:
    """Return the term of every document that has a metadata key."""
    return _term([key])


def value_term(key: str, value: Any) -> str:
    """Return the term of every document whose metadata hold a value, any JSON value, under a key."""
    return _term([key, _canonical(value)])


def document_terms(document: kayak.StoredDocument) -> list[str]:
    """Return all terms of a document, at least one."""
    terms = ["document"]  # an array property without elements would be a null to Weaviate
    if document.text is not None:
        terms.append(HAS_TEXT)
    if document.metadata:
        terms.append(HAS_METADATA)
    for key, value in document.metadata.items():
        terms += (key_term(key), value_term(key, value))
    return terms


def _term(parts: list[Any]) -> str:
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    # A JSON array starts with "[", so a digest never equals one.
    return text if len(text) <= _LONGEST else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _canonical(value: Any) -> Any:
    """Give numbers that are equal one spelling: a whole float becomes the integer that it is."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    return value
