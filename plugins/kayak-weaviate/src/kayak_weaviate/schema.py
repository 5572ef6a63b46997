"""The collection: what Kayak creates, and how an existing one may differ."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import attrs
import kayak
from weaviate.classes.config import (
    Configure,
    DataType,
    MultiVectorAggregation,
    Property,
    Tokenization,
    VectorDistances,
)
from weaviate.outputs.config import CollectionConfig, PropertyConfig, VectorIndexConfigHNSW

from kayak_weaviate.filters import TERMS
from kayak_weaviate.rows import DOC_ID, METADATA, TEXT, VECTOR_COUNT

FORMAT: Final = 1
MUVERA_PARAMETERS: Final = ("ksim", "dprojections", "repetitions")

_COLLECTION_NAME = re.compile(r"[A-Z][_0-9A-Za-z]{0,229}")
_VECTOR_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,229}")
_DESCRIPTION = re.compile(r"Kayak documents, format (\d+)(?:, encoded by (\".*\"))?", re.DOTALL)
_MEANINGS: Final = {
    DOC_ID: "The document's own id.",
    TEXT: "The document's text; missing where there is none.",
    METADATA: "The document's metadata as JSON.",
    TERMS: "What filters look for: metadata keys, and keys with values.",
    VECTOR_COUNT: "Number of token vectors.",
}
_TYPES: Final = {
    DOC_ID: DataType.TEXT,
    TEXT: DataType.TEXT,
    METADATA: DataType.TEXT,
    TERMS: DataType.TEXT_ARRAY,
    VECTOR_COUNT: DataType.INT,
}
_FILTERABLE: Final = frozenset({TERMS, VECTOR_COUNT})
"""Properties with an index: filters need the one, sums the other. The rest costs no time at ingest."""


@attrs.frozen
class Layout:
    """What a store needs of its collection.

    Attributes:
        collection_name: the collection's name.
        vector_name: the multi-vector's name.
        muvera: None where either search will do, False for token vectors, True for MUVERA, or its parameters.
    """

    collection_name: str
    vector_name: str
    muvera: bool | Mapping[str, int] | None = None

    def __attrs_post_init__(self) -> None:
        _check_name(self.collection_name, "collection_name", _COLLECTION_NAME, "an upper-case letter", "LateDocument")
        _check_name(self.vector_name, "vector_name", _VECTOR_NAME, "a letter or '_'", "colbert")
        _check_muvera(self.muvera)

    def creation(self) -> dict[str, Any]:
        """Return the arguments of `client.collections.create`."""
        encoding = None
        if self.muvera:
            encoding = Configure.VectorIndex.MultiVector.Encoding.muvera(
                **({} if self.muvera is True else dict(self.muvera))
            )
        vector = Configure.MultiVectors.self_provided(
            name=self.vector_name,
            encoding=encoding,
            # A server may quantise new indexes unless told not to; MaxSim over rounded vectors would be another score.
            quantizer=Configure.VectorIndex.Quantizer.none(),
            multi_vector_config=Configure.VectorIndex.MultiVector.multi_vector(
                aggregation=MultiVectorAggregation.MAX_SIM
            ),
            vector_index_config=Configure.VectorIndex.hnsw(distance_metric=VectorDistances.DOT),
        )
        return {
            "name": self.collection_name,
            "description": describe(None),
            "properties": [_property(name) for name in _TYPES],
            "vector_config": vector,
        }

    def differences(self, found: CollectionConfig) -> list[str]:
        """Return in words how an existing collection differs from what the store needs; empty where it does not."""
        return [
            *_description_differences(found.description),
            *_property_differences({prop.name: prop for prop in found.properties}),
            *(f"it has the reference {reference.name!r}, which upserts would erase" for reference in found.references),
            *_vector_differences(found, self.vector_name),
            *self._muvera_differences(found),
            *(["it is divided into tenants"] if found.multi_tenancy_config.enabled else []),
            *(
                ["its objects expire (object TTL)"]
                if found.object_ttl_config and found.object_ttl_config.enabled
                else []
            ),
        ]

    def require_equal(self, found: CollectionConfig, place: str) -> None:
        """Refuse an existing collection that differs.

        Raises:
            StoreSchemaError: names every difference.
        """
        differences = self.differences(found)
        if differences:
            raise kayak.StoreSchemaError(
                f"{place} exists and cannot be used as a Kayak store; nothing was changed. Differences: "
                f"{'; '.join(differences)}. Choose another collection_name, or the arguments it was made with"
            )

    def _muvera_differences(self, found: CollectionConfig) -> list[str]:
        index = _hnsw(found, self.vector_name)
        if self.muvera is None or index is None or index.multi_vector is None:
            return []
        encoding = index.multi_vector.encoding
        if not self.muvera:
            return [] if encoding is None else ["it searches with MUVERA, but muvera=False was given"]
        if encoding is None:
            return ["it searches token vectors, but muvera= was given"]
        wanted = {} if self.muvera is True else self.muvera
        return [
            f"MUVERA's {name} is {getattr(encoding, name)}, not {value}"
            for name, value in wanted.items()
            if getattr(encoding, name) != value
        ]


def describe(encoder: str | None) -> str:
    """Return the collection's description, which keeps the format's version and what encoded the documents."""
    return f"Kayak documents, format {FORMAT}" + ("" if encoder is None else f", encoded by {json.dumps(encoder)}")


def described_encoder(description: str | None) -> str | None:
    """Return what `describe` wrote down; None where the description says nothing of an encoder."""
    match = _DESCRIPTION.fullmatch(description or "")
    encoder = json.loads(match[2]) if match and match[2] else None
    return encoder if isinstance(encoder, str) else None


def _property(name: str) -> Property:
    kind = _TYPES[name]
    return Property(
        name=name,
        description=_MEANINGS[name],
        data_type=kind,
        index_filterable=name in _FILTERABLE,
        index_searchable=None if kind is DataType.INT else False,
        tokenization=None if kind is DataType.INT else Tokenization.FIELD,
    )


def _description_differences(description: str | None) -> list[str]:
    match = _DESCRIPTION.fullmatch(description or "")
    if match is None:
        return [
            f"its description is {description!r:.120}, not {describe(None)!r}, where Kayak keeps the format's version"
        ]
    if int(match[1]) != FORMAT:
        return [f"its format is {match[1]}, and this version of kayak-weaviate reads {FORMAT}"]
    return []


def _property_differences(found: Mapping[str, PropertyConfig]) -> list[str]:
    differences = [f"it has the property {name!r}, which upserts would erase" for name in found if name not in _TYPES]
    for name, kind in _TYPES.items():
        prop = found.get(name)
        if prop is None:
            differences.append(f"it lacks the property {name!r} ({kind.value})")
            continue
        if prop.data_type != kind:
            differences.append(f"its property {name!r} is {prop.data_type.value}, not {kind.value}")
        if name in _FILTERABLE and not prop.index_filterable:
            differences.append(f"its property {name!r} has no index for filters")
        if name == TERMS and prop.tokenization not in (None, Tokenization.FIELD):
            differences.append(f"its property {name!r} is tokenised as {prop.tokenization.value}, not field")
    return differences


def _vector_differences(found: CollectionConfig, vector_name: str) -> list[str]:
    named = found.vector_config or {}
    differences = [f"it has the vector {name!r}, which upserts would erase" for name in named if name != vector_name]
    if vector_name not in named:
        return [*differences, f"it has no vector named {vector_name!r}"]
    vectorizer = named[vector_name].vectorizer.vectorizer
    if getattr(vectorizer, "value", vectorizer) != "none":
        differences.append(
            f"its vector {vector_name!r} is made by {getattr(vectorizer, 'value', vectorizer)}, not given"
        )
    index = _hnsw(found, vector_name)
    if index is None:
        kind = type(named[vector_name].vector_index_config).vector_index_type()
        return [*differences, f"its vector {vector_name!r} has an index of type {kind}, not hnsw"]
    if index.multi_vector is None:
        differences.append(f"its vector {vector_name!r} holds one vector a document, not one a token")
    if index.distance_metric != VectorDistances.DOT:
        differences.append(f"its vector {vector_name!r} is compared by {index.distance_metric.value}, not dot")
    return differences


def _hnsw(found: CollectionConfig, vector_name: str) -> VectorIndexConfigHNSW | None:
    named = (found.vector_config or {}).get(vector_name)
    index = None if named is None else named.vector_index_config
    return index if isinstance(index, VectorIndexConfigHNSW) else None


def _check_name(value: object, argument: str, pattern: re.Pattern[str], first: str, example: str) -> None:
    if not isinstance(value, str):
        raise kayak.InvalidTypeError(f"{argument} must be a string, got {type(value).__name__}")
    if not pattern.fullmatch(value):
        raise kayak.InvalidInputError(
            f"{argument} {value!r:.80} is no name for Weaviate: it must begin with {first} and go on with ASCII "
            f"letters, digits and '_', 230 characters at most, for example {example!r}"
        )


def _check_muvera(value: object) -> None:
    if value is None or isinstance(value, bool):
        return
    known = ", ".join(MUVERA_PARAMETERS)
    if not isinstance(value, Mapping):
        raise kayak.InvalidTypeError(f"muvera must be a boolean or a mapping of {known}, got {type(value).__name__}")
    for name, number in value.items():
        if name not in MUVERA_PARAMETERS:
            raise kayak.InvalidInputError(f"muvera has no parameter {name!r}; known are {known}")
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise kayak.InvalidInputError(f"muvera[{name!r}] must be an integer ≥ 1, got {number!r}")
