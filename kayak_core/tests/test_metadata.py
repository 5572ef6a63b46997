"""Metadata rows: what is accepted, how it is copied, the JSON round trip, and every error's text."""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
from collections import OrderedDict, UserDict
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kayak.contracts.json_values import MAX_JSON_DEPTH, json_identity, normalize_json_value
from kayak.contracts.metadata import metadata_from_json, metadata_json, normalize_metadata_rows
from kayak.errors import FilterError, InvalidInputError
from kayak.testing.strategies import doc_ids, metadata_rows, token_matrices


class Color(str, enum.Enum):  # noqa: UP042 (its `str()` is "Color.RED", which must not be stored)
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Ratio(float):
    pass


class Symbol(str):
    """Text that compares by identity, so that a dict can hold two keys that JSON cannot tell apart."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


def one(row: Any) -> dict[str, Any]:
    rows = normalize_metadata_rows([row], document_count=1)
    assert rows is not None
    return rows[0]


def typed(value: Any) -> Any:
    """A value with its types and the sign of zeros spelled out, so that `==` cannot blur them."""
    if isinstance(value, dict):
        return ("dict", [(key, typed(item)) for key, item in value.items()])
    if isinstance(value, list):
        return ("list", [typed(item) for item in value])
    return (type(value).__name__, math.copysign(1, value) if isinstance(value, float) else 0, value)


@given(metadata_rows())
def test_rows_survive_copying_and_json_exactly(row: dict[str, Any]) -> None:
    copied = one(row)
    assert typed(copied) == typed(row)
    text = metadata_json(copied)
    assert typed(metadata_from_json(text)) == typed(row)
    text.encode("utf-8")
    assert json.loads(text) == row


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_every_number_and_text_survives(number: float, integer: int, text: str) -> None:
    row = {"f": number, "i": integer, "t": {text: text}}
    assert typed(metadata_from_json(metadata_json(one(row)))) == typed(row)


def test_json_text_is_compact_and_readable() -> None:
    assert metadata_json({"b": [1, 1.0, -0.0], "a": "é", "n": None, "t": True}) == (
        '{"b":[1,1.0,-0.0],"a":"é","n":null,"t":true}'
    )


@pytest.mark.parametrize(
    ("given_value", "stored"),
    [
        (Color.RED, "red"),
        (Level.HIGH, 3),
        (Ratio(0.5), 0.5),
        (np.str_("a"), "a"),
        (np.bool_(True), True),
        (np.int8(-3), -3),
        (np.uint64(2**63 - 1), 2**63 - 1),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.float16(-0.0), -0.0),
        (np.float64(1.0), 1.0),
        (np.longdouble(0.5), 0.5),
        (np.array(7), 7),
        (np.array("é"), "é"),
        ((1, (2,)), [1, [2]]),
        (range(2), [0, 1]),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        (UserDict({"a": OrderedDict(b=Color.RED)}), {"a": {"b": "red"}}),
        ({Color.RED: 1}, {"red": 1}),
        ({"$inner": 1}, {"$inner": 1}),
    ],
)
def test_values_become_plain_types(given_value: Any, stored: Any) -> None:
    assert typed(one({"k": given_value})["k"]) == typed(stored)


def test_rows_do_not_alias_the_input() -> None:
    inner: list[int] = [1]
    row = {"k": {"a": inner}, "again": inner}
    stored = one(row)
    inner.append(2)
    row["new"] = []
    assert stored == {"k": {"a": [1]}, "again": [1]}
    assert stored["k"]["a"] is not stored["again"]


def test_no_metadata_and_rows_without() -> None:
    assert normalize_metadata_rows(None, document_count=3) is None
    assert normalize_metadata_rows((None, {}, MappingProxyType({"a": 1})), document_count=3) == (
        {},
        {},
        {"a": 1},
    )
    assert normalize_metadata_rows([], document_count=0) == ()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {"a": {"year": 1}},
            "`metadata` is one mapping, but must be a sequence with one mapping per document. For a "
            "single document, "
            "write [metadata]; for a mapping by id, write [metadata[i] for i in doc_ids].",
        ),
        *(
            (
                value,
                f"`metadata` has the type {name}, but must be a sequence (list or tuple) with one "
                f"mapping per document.",
            )
            for value, name in [
                ("ab", "str"),
                (b"ab", "bytes"),
                (3, "int"),
                (iter([{}, {}]), "list_iterator"),
            ]
        ),
        (
            [{}],
            "`metadata` has 1 rows for 2 documents. Give one row per document, in the same order; use "
            "None for a "
            "document without metadata.",
        ),
    ],
)
def test_misaligned_metadata(metadata: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        normalize_metadata_rows(metadata, document_count=2, doc_ids=["a", "b"])
    assert str(caught.value) == message


def nested_list(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


LIST_CYCLE: list[Any] = [0]
LIST_CYCLE.append({"x": LIST_CYCLE})
ROW_CYCLE: dict[str, Any] = {}
ROW_CYCLE["self"] = ROW_CYCLE
SURROGATE = (
    "which has a lone surrogate and cannot be written as UTF-8. "
    'Repair the text, for example with `text.encode("utf-8", "replace").decode()`.'
)
FINITE = "numbers must be finite. Leave the key out, or write null."
RANGE = "outside signed 64-bit integers. Write it as a string, or as a float if rounding is acceptable."
DATES = "Write dates and times as ISO 8601 strings (`isoformat()`), which also sort by time."
OTHERS = "Use null, a boolean, a number, a string, a list or an object with string keys."


def cannot(name: str, remedy: str) -> str:
    return f"has the type {name}, which JSON cannot hold. {remedy}"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("text", " has the type str, but must be a mapping with string keys, or None."),
        ([("a", 1)], " has the type list, but must be a mapping with string keys, or None."),
        ({1: 2}, " has the key 1 of type int. Keys must be strings."),
        ({10**5000: 2}, " has the key <integer of 16610 bits> of type int. Keys must be strings."),
        ({"k": {None: 1}}, "['k'] has the key None of type NoneType. Keys must be strings."),
        (
            {"\udc00": 1},
            " has the key '\\udc00', which has a lone surrogate and cannot be written as UTF-8. Rename the key.",
        ),
        (
            {"$price": 1},
            " has the key '$price'. Keys that start with '$' are reserved for the operators of `where` "
            "filters, which "
            "could not address them. Rename the key.",
        ),
        (
            {"k": {Symbol("red"): 1, "red": 2}},
            "['k'] has the key 'red' twice, in two string types. Keep one of them.",
        ),
        ({"k": [float("nan")]}, f"['k'][0] is nan; {FINITE}"),
        ({"k": float("-inf")}, f"['k'] is -inf; {FINITE}"),
        ({"k": np.float32("inf")}, f"['k'] is inf; {FINITE}"),
        ({"k": 2**63}, f"['k'] is 9223372036854775808, {RANGE}"),
        ({"k": -(2**63) - 1}, f"['k'] is -9223372036854775809, {RANGE}"),
        ({"k": np.uint64(2**63)}, f"['k'] is 9223372036854775808, {RANGE}"),
        ({"k": 10**5000}, f"['k'] is <integer of 16610 bits>, {RANGE}"),
        ({"k": "a\ud800"}, f"['k'] is 'a\\ud800', {SURROGATE}"),
        ({"k": {"a": ["é\udfff"]}}, f"['k']['a'][0] is 'é\\udfff', {SURROGATE}"),
        ({"k": b"x"}, f"['k'] {cannot('bytes', 'Decode bytes to a string.')}"),
        ({"k": np.bytes_(b"x")}, f"['k'] {cannot('numpy.bytes_', 'Decode bytes to a string.')}"),
        ({"k": {1, 2}}, f"['k'] {cannot('set', 'Write sets as lists.')}"),
        ({"k": dt.datetime(2020, 1, 1)}, f"['k'] {cannot('datetime.datetime', DATES)}"),
        ({"k": np.datetime64("2020")}, f"['k'] {cannot('numpy.datetime64', DATES)}"),
        ({"k": np.timedelta64(1, "s")}, f"['k'] {cannot('numpy.timedelta64', DATES)}"),
        ({"k": np.zeros(2)}, f"['k'] {cannot('numpy.ndarray', 'Convert arrays with `.tolist()`.')}"),
        ({"k": np.array(None)}, f"['k'] {cannot('numpy.ndarray', 'Convert arrays with `.tolist()`.')}"),
        ({"k": 1j}, f"['k'] {cannot('complex', OTHERS)}"),
        ({"k": np.complex64(1)}, f"['k'] {cannot('numpy.complex64', OTHERS)}"),
        (
            {"k": LIST_CYCLE},
            "['k'][1]['x'] contains itself; JSON has no cycles. Copy the part that is meant.",
        ),
        (ROW_CYCLE, "['self'] contains itself; JSON has no cycles. Copy the part that is meant."),
        (
            {"k": nested_list(MAX_JSON_DEPTH)},
            f"['k']{'[0]' * (MAX_JSON_DEPTH - 1)} nests deeper than 32 levels. Flatten the value.",
        ),
    ],
)
def test_malformed_rows_name_the_document_and_the_key(row: Any, problem: str) -> None:
    with pytest.raises(FilterError) as caught:
        normalize_metadata_rows([None, row], document_count=2, doc_ids=["d0", "d1"])
    assert str(caught.value) == f"metadata of document 'd1'{problem}"
    with pytest.raises(FilterError) as caught:
        normalize_metadata_rows([None, row], document_count=2)
    assert str(caught.value) == f"metadata[1]{problem}"


@pytest.mark.skipif(
    np.finfo(np.longdouble).nmant == np.finfo(np.float64).nmant,
    reason="long double is double on this platform",
)
def test_extended_precision_is_not_rounded_silently() -> None:
    with pytest.raises(
        FilterError, match=r"^metadata\[0\]\['k'\] is 1.0+1\d*, which a 64-bit float cannot hold exactly\."
    ):
        one({"k": np.nextafter(np.longdouble(1), np.longdouble(2))})


def test_the_deepest_row_is_stored() -> None:
    row = {"k": nested_list(MAX_JSON_DEPTH - 1)}
    assert metadata_from_json(metadata_json(one(row))) == row


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{",
            r"^A metadata row is not valid JSON \(Expecting property name .*\): '\{'\. "
            r"It should be one JSON object\.$",
        ),
        ('{"a":1,"a":2}', r"^A metadata row is not valid JSON \(an object has the same key twice\): "),
        ("[" * 100_000, r"^A metadata row is not valid JSON \(maximum recursion depth exceeded.*\): '\[\[\["),
        ('{"a":' + "9" * 5000 + "}", r"^A metadata row is not valid JSON \(Exceeds the limit .*\): "),
        ("[1]", r"^A metadata row is not a JSON object: '\[1\]'\. Write key-value pairs\.$"),
        ('{"a":NaN}', r"^metadata row\['a'\] is nan; numbers must be finite\."),
        ('{"a":1e999}', r"^metadata row\['a'\] is inf; numbers must be finite\."),
        (
            '{"a":9223372036854775808}',
            r"^metadata row\['a'\] is 9223372036854775808, outside signed 64-bit integers\.",
        ),
        ('{"a":"\\ud800"}', r"^metadata row\['a'\] is '\\ud800', which has a lone surrogate"),
        ('{"$a":1}', r"^metadata row has the key '\$a'\. Keys that start with '\$' are reserved"),
    ],
    ids=["syntax", "twice", "deep", "digits", "list", "nan", "overflow", "range", "surrogate", "dollar"],
)
def test_foreign_json_is_checked(text: str, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        metadata_from_json(text)


def test_a_value_alone_is_named_by_its_subject() -> None:
    with pytest.raises(FilterError, match=r"^the operand\[0\] is nan; numbers must be finite\."):
        normalize_json_value([float("nan")], subject="the operand")
    assert normalize_json_value({"$k": (1,)}, subject="the operand") == {"$k": [1]}


def test_identity_tells_apart_what_json_does() -> None:
    values = [
        None,
        False,
        True,
        0,
        1,
        "",
        "1",
        [],
        [1],
        [True],
        [[1]],
        {},
        {"a": 1},
        {"a": None},
        ["a", 1],
        2**53 + 1,
    ]
    assert len({json_identity(value) for value in values}) == len(values)
    for same in [
        (1, 1.0),
        (0.0, -0.0),
        ([1], (1.0,)),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}),
        (np.int8(3), 3),
    ]:
        assert json_identity(same[0]) == json_identity(same[1])
    assert json_identity(2**53 + 1) != json_identity(2.0**53)


@given(doc_ids())
def test_generated_doc_ids_are_storable_text(doc_id: str) -> None:
    assert doc_id
    assert doc_id.encode("utf-8").decode("utf-8") == doc_id


@given(token_matrices(dim=3), token_matrices(dim=2, min_tokens=2, max_tokens=2, magnitude=0.1))
def test_generated_token_matrices_have_the_declared_shape_and_range(free: Any, bounded: Any) -> None:
    assert free.dtype == bounded.dtype == np.float32
    assert 1 <= free.shape[0] <= 6
    assert free.shape[1] == 3
    assert bounded.shape == (2, 2)
    assert np.abs(free).max() <= 1e6
    assert np.abs(bounded).astype(np.float64).max() <= 0.1
