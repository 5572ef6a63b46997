"""The table that holds documents: its columns, and how an existing table is recognised.

Facts about the whole table live in the metadata of its `id` field: the format's version, an id of the table that
makes generations of a recreated table different, and what encoded the corpus.
"""

from __future__ import annotations

import re
import uuid

import attrs
import kayak
import pyarrow as pa

FORMAT_VERSION = "1"
ID, TEXT, METADATA, VECTOR_COUNT, VECTORS = "id", "text", "metadata", "vector_count", "vectors"
TERMS, POSTED, REVISION = "terms", "posted", "revision"
"""Columns of postings, which a table has from its first codebook on: tokens, the codebook that they are of, and what
changes whenever the document is written."""

FORMAT_KEY = "kayak:format"
STORE_KEY = "kayak:store"
ENCODER_KEY = "kayak:encoder"
PRIMARY_KEY = "lance-schema:unenforced-primary-key"

_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_JSON_EXTENSIONS = (b"lance.json", b"arrow.json")


@attrs.frozen
class TableState:
    """What a table's schema says.

    Attributes:
        store_id: drawn when the table was created.
        encoder: what encoded the corpus, or None.
        vector_dim: dimension of the vectors, or None before the first document.
        keeps_terms: whether there are columns of postings.
    """

    store_id: str
    encoder: str | None
    vector_dim: int | None
    keeps_terms: bool

    @property
    def schema(self) -> pa.Schema:
        """The schema of batches to be written; the dimension must be known."""
        fields = [id_field(), *_content_fields(), vectors_field(self.vector_dim or 0)]
        return pa.schema(fields + (postings_fields() if self.keeps_terms else []))


def check_table_name(name: object) -> str:
    """Return a name that LanceDB takes for a table.

    Raises:
        InvalidTypeError: no string.
        InvalidInputError: empty, a relative path, or with other characters than LanceDB allows.
    """
    if not isinstance(name, str):
        raise kayak.InvalidTypeError(f"table_name must be a string, got {type(name).__name__}")
    if not _TABLE_NAME.fullmatch(name) or name in (".", ".."):
        raise kayak.InvalidInputError(
            f"table_name {name!r:.80} cannot be the name of a LanceDB table; use letters, digits, '_', '-' and '.'"
        )
    return name


def new_table_schema() -> pa.Schema:
    """Return the schema of a table without documents, which gets its vectors column with the first of them."""
    facts = {PRIMARY_KEY: "true", FORMAT_KEY: FORMAT_VERSION, STORE_KEY: uuid.uuid4().hex}
    return pa.schema([id_field(facts), *_content_fields()])


def vectors_field(dim: int) -> pa.Field:
    """Return the column of token matrices: a list of vectors of a fixed size."""
    return pa.field(VECTORS, pa.list_(pa.list_(pa.float32(), dim)))


def read_state(schema: pa.Schema, place: str) -> TableState:
    """Check that a table is one of ours and return what its schema says.

    Args:
        schema: the table's schema.
        place: names the table in errors.

    Raises:
        StoreSchemaError: another program made the table, or columns were changed; every difference is listed.
        StoreVersionError: a newer format.
    """
    facts = _facts(schema)
    if FORMAT_KEY not in facts:
        columns = ", ".join(f"{field.name}: {field.type}" for field in schema) or "none"
        raise kayak.StoreSchemaError(
            f"{place} was not made by Kayak: field 'id' lacks the metadata {FORMAT_KEY!r} (its columns: "
            f"{columns:.500}). It was left as it is; choose another table_name"
        )
    if facts[FORMAT_KEY] != FORMAT_VERSION:
        raise kayak.StoreVersionError(
            f"{place} has format {facts[FORMAT_KEY]!r}, but this version of kayak-lancedb reads format "
            f"{FORMAT_VERSION!r}; upgrade kayak-lancedb"
        )
    differences = list(_differences(schema, facts))
    if differences:
        raise kayak.StoreSchemaError(
            f"{place} is not as Kayak made it: {'; '.join(differences)}. It was left as it is; undo the change, or "
            "copy the documents into another table"
        )
    return TableState(facts[STORE_KEY], facts.get(ENCODER_KEY), _vector_dim(schema), TERMS in schema.names)


def id_field(facts: dict[str, str] | None = None) -> pa.Field:
    """Return the column of ids, with facts about the table."""
    return pa.field(ID, pa.string(), nullable=False, metadata=facts or None)


def _content_fields() -> list[pa.Field]:
    return [
        pa.field(TEXT, pa.string()),
        pa.field(METADATA, pa.json_(pa.string())),
        pa.field(VECTOR_COUNT, pa.int32()),
    ]


def postings_fields() -> list[pa.Field]:
    """Return the columns of postings."""
    return [
        pa.field(TERMS, pa.list_(pa.string())),
        pa.field(POSTED, pa.string()),
        pa.field(REVISION, pa.string(), nullable=False),
    ]


def _facts(schema: pa.Schema) -> dict[str, str]:
    number = schema.get_field_index(ID)
    metadata = {} if number < 0 else schema.field(number).metadata or {}
    return {key.decode(errors="replace"): value.decode(errors="replace") for key, value in metadata.items()}


def _differences(schema: pa.Schema, facts: dict[str, str]) -> list[str]:
    expected = {ID: "string", TEXT: "string", METADATA: "JSON", VECTOR_COUNT: "int32"}
    found = {field.name: _type_name(field) for field in schema}
    if {TERMS, POSTED, REVISION} & found.keys():
        expected |= {TERMS: "list<item: string>", POSTED: "string", REVISION: "string"}
    differences = [
        f"column {name!r} is {found[name]}, expected {type_name}" if name in found else f"column {name!r} is missing"
        for name, type_name in expected.items()
        if found.get(name) != type_name
    ]
    if VECTORS in found and _vector_dim(schema) is None:
        differences.append(f"column {VECTORS!r} is {found[VECTORS]}, expected lists of float32 lists of a fixed size")
    differences += [f"column {name!r} is not known" for name in found if name not in (*expected, VECTORS)]
    differences += [f"field {ID!r} lacks the metadata {key!r}" for key in (PRIMARY_KEY, STORE_KEY) if key not in facts]
    return differences


def _type_name(field: pa.Field) -> str:
    extension = (field.metadata or {}).get(b"ARROW:extension:name")
    return "JSON" if extension in _JSON_EXTENSIONS or isinstance(field.type, pa.JsonType) else str(field.type)


def _vector_dim(schema: pa.Schema) -> int | None:
    number = schema.get_field_index(VECTORS)
    if number < 0:
        return None
    matrix = schema.field(number).type
    if not pa.types.is_list(matrix) or not pa.types.is_fixed_size_list(matrix.value_type):
        return None
    vector = matrix.value_type
    return int(vector.list_size) if vector.value_type == pa.float32() else None
