"""How ids, texts and metadata become values that PostgreSQL can hold, and come back exactly.

PostgreSQL's text has no NUL, an index entry has at most 2,704 bytes, and jsonb has no NUL either, compares numbers as
decimals and forgets the order of keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

MAX_KEY_BYTES = 1024
"""The longest id, in UTF-8, that is its own key."""


def document_key(doc_id: str) -> tuple[str, bytes | None]:
    """Return the key of a document, and the id's bytes where the key alone does not tell the id.

    The key is the id itself, except for an id that holds NUL, starts with a backslash or is very long: its key is a
    backslash and a digest.
    """
    if not doc_id.startswith("\\") and "\x00" not in doc_id and len(doc_id) <= MAX_KEY_BYTES // 4:
        return doc_id, None
    exact = doc_id.encode()
    if not doc_id.startswith("\\") and "\x00" not in doc_id and len(exact) <= MAX_KEY_BYTES:
        return doc_id, None
    return "\\" + hashlib.sha256(exact).hexdigest(), exact


def document_id(key: str, exact: bytes | None) -> str:
    """Return the id that `document_key` turned into these two."""
    return key if exact is None else exact.decode()


def text_columns(text: str | None) -> tuple[str | None, bytes | None]:
    """Return a text for the column of texts, or, where it holds NUL, for the column of bytes."""
    if text is not None and "\x00" in text:
        return None, text.encode()
    return text, None


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold a text as it is: without NUL and lone surrogates."""
    return "\x00" not in text and text == text.encode("utf-8", "replace").decode()


def filter_json(value: Any) -> str:
    """Return a JSON value as text for jsonb, such that jsonb compares as `kayak.Where.matches` does.

    Not for reading back: see `_comparable`.
    """
    return json.dumps(_comparable(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def filter_key(key: str) -> str:
    """Return a metadata key as `filter_json` writes it."""
    return _without_nul(key)


def _comparable(value: Any) -> Any:
    if isinstance(value, str):
        return _without_nul(value)
    if isinstance(value, float):
        # A decimal such as 9.223372036854776e+18 stands for a float that is 192 away; integers are exact.
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {_without_nul(key): _comparable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    return value


def _without_nul(text: str) -> str:
    """Return text without NUL: distinct texts stay distinct and keep their order by code points."""
    if "\x00" not in text and "\x01" not in text:
        return text
    return text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")
