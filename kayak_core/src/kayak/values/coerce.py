"""Reads arrays, tensors and nested sequences; says what is wrong with those that cannot be token vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kayak.errors import InvalidInputError, InvalidTypeError
from kayak.typing import Float32Matrix

_FINITE_CHECK_VALUES = 1 << 20


def as_numeric_array(value: Any, what: str) -> npt.NDArray[Any]:
    """View `value` as a NumPy array of real numbers, copying only if the source makes it necessary.

    Args:
        value: NumPy array, torch tensor (any device or dtype), DLPack exporter, or nested sequences of numbers.
        what: how error messages call the value, for example "document 'a'".

    Raises:
        InvalidTypeError: the value is not numeric.
        InvalidInputError: nested sequences are ragged, or a masked array has masked entries.
    """
    array = value if type(value) is np.ndarray else _to_array(value, what)
    if array.dtype.kind in "fiu":
        return array
    if array.dtype.name == "bfloat16":  # ml_dtypes registers it as a void-like kind
        return array.astype(np.float32)
    raise InvalidTypeError(
        f"{what} must hold real numbers, got {type(value).__name__} of dtype {array.dtype}; "
        "pass float32 token vectors of shape (vectors, dimension)"
    )


def _to_array(value: Any, what: str) -> npt.NDArray[Any]:
    if isinstance(value, (str, bytes, bytearray, Mapping, set, frozenset)) or value is None:
        raise InvalidTypeError(
            f"{what} must be an array, a tensor or nested sequences of numbers, got {type(value).__name__}"
        )
    # numpy.ma is loaded only by those who use it; asking `np.ma` for the class would load it for everybody.
    if type(value).__module__.startswith("numpy.ma") and isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            raise InvalidInputError(f"{what} is a masked array with masked entries; fill or drop them first")
        return np.asarray(value.data)
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        tensor = value.detach().cpu()
        return np.asarray((tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy())
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return np.from_dlpack(value)
    try:
        return np.asarray(value)
    except ValueError as error:
        raise InvalidInputError(f"{what} is ragged: every token vector needs the same dimension ({error})") from error


def check_matrix_shape(array: npt.NDArray[Any], what: str) -> None:
    """Require shape (token vectors ≥ 1, dimension ≥ 1).

    Raises:
        InvalidInputError: another number of axes, no token vector, or dimension 0.
    """
    if array.ndim != 2:
        raise InvalidInputError(f"{what} must be a 2-D matrix of shape (vectors, dimension), got shape {array.shape}")
    if array.shape[0] == 0:
        raise InvalidInputError(
            f"{what} has no token vectors (shape {array.shape}); leave it out, or encode a non-empty text"
        )
    if array.shape[1] == 0:
        raise InvalidInputError(f"{what} has vectors of dimension 0 (shape {array.shape})")


def to_float32(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Copy to C-contiguous float32; values beyond its range become infinite, which the callers check."""
    with np.errstate(over="ignore"):
        return np.array(array, dtype=np.float32, order="C")


def first_non_finite_row(matrix: npt.NDArray[Any]) -> int | None:
    """Return the first row holding a NaN or an infinity, in bounded memory, or None."""
    rows = max(1, _FINITE_CHECK_VALUES // max(1, matrix.shape[1]))
    for start in range(0, matrix.shape[0], rows):
        finite = np.isfinite(matrix[start : start + rows])
        if not finite.all():
            return start + int(np.argmin(finite.all(axis=1)))
    return None


def not_finite_error(what: str, row: int) -> InvalidInputError:
    """Describe a NaN, an infinity, or a value beyond float32, in token vector `row` of `what`."""
    return InvalidInputError(
        f"{what} holds NaN, infinity or a value beyond the range of float32 in token vector {row}; "
        "token vectors must be finite"
    )


def float32_matrix(value: Any, what: str) -> Float32Matrix:
    """Return a read-only, C-contiguous float32 copy of a token matrix, shape (vectors, dimension).

    Raises:
        InvalidTypeError: the value is not numeric.
        InvalidInputError: not 2-D, empty, ragged or not finite.
    """
    array = as_numeric_array(value, what)
    check_matrix_shape(array, what)
    matrix = to_float32(array)
    row = first_non_finite_row(matrix)
    if row is not None:
        raise not_finite_error(what, row)
    matrix.flags.writeable = False
    return matrix


def flat_matrix(values: Any, vector_dim: int, what: str) -> Float32Matrix:
    """Return a read-only float32 matrix from a flat buffer of vectors × `vector_dim` values.

    Raises:
        InvalidTypeError: the values are not numeric.
        InvalidInputError: not one axis, not a multiple of `vector_dim`, empty or not finite.
    """
    array = as_numeric_array(values, what)
    if array.ndim != 1 or array.size == 0 or array.size % vector_dim:
        raise InvalidInputError(f"{what} must be one axis of vectors × {vector_dim} values, got shape {array.shape}")
    return float32_matrix(array.reshape(-1, vector_dim), what)


def string_tuple(values: Iterable[str], what: str) -> tuple[str, ...]:
    """Return a tuple of strings.

    Raises:
        InvalidTypeError: one string instead of a sequence, or an element that is not a string.
    """
    if isinstance(values, (str, bytes)):
        raise InvalidTypeError(
            f"{what} must be a sequence of strings, got one {type(values).__name__}; use [{values!r}]"
        )
    try:
        items = tuple(values)
    except TypeError as error:
        raise InvalidTypeError(f"{what} must be a sequence of strings, got {type(values).__name__}") from error
    if all(type(item) is str for item in items):
        return items
    for position, item in enumerate(items):
        if not isinstance(item, str):
            raise InvalidTypeError(f"{what}[{position}] must be a string, got {type(item).__name__} {item!r:.60}")
    return tuple(str(item) for item in items)


def document_ids(values: Iterable[str]) -> tuple[str, ...]:
    """Return a tuple of unique, non-empty document ids.

    Raises:
        InvalidTypeError: ids that are not strings.
        InvalidInputError: an empty id, a repeated id, or an id that cannot be encoded as UTF-8.
    """
    ids = string_tuple(values, "doc_ids")
    if "" in ids:
        raise InvalidInputError(f"doc_ids[{ids.index('')}] is empty; every document needs a non-empty id")
    if len(set(ids)) != len(ids):
        seen: dict[str, int] = {}
        for position, doc_id in enumerate(ids):
            if doc_id in seen:
                raise InvalidInputError(
                    f"document id {doc_id!r} is given twice (positions {seen[doc_id]} and {position}); "
                    "ids must be unique within one collection"
                )
            seen[doc_id] = position
    try:
        "".join(ids).encode()
    except UnicodeEncodeError as error:
        bad = next(doc_id for doc_id in ids if not is_encodable(doc_id))
        raise InvalidInputError(f"document id {bad!r} holds a lone surrogate and cannot be stored as UTF-8") from error
    return ids


def is_encodable(text: str) -> bool:
    """Return whether a string can be written as UTF-8, that is, has no lone surrogate."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def optional_texts(
    values: Sequence[str | None] | None, doc_ids: tuple[str, ...], what: str
) -> tuple[str | None, ...] | None:
    """Return texts aligned with the ids; None where no document has a text.

    Raises:
        InvalidTypeError: an element is neither a string nor None.
        InvalidInputError: the number of texts differs from the number of ids, or a text is no valid Unicode.
    """
    if values is None:
        return None
    if isinstance(values, (str, bytes)):
        raise InvalidTypeError(f"{what} must be a sequence of strings, got one {type(values).__name__}")
    texts = tuple(values)
    if len(texts) != len(doc_ids):
        raise InvalidInputError(
            f"{what} has {len(texts)} entries for {len(doc_ids)} documents; give one text a document"
        )
    for doc_id, text in zip(doc_ids, texts, strict=True):
        if text is not None and not isinstance(text, str):
            raise InvalidTypeError(f"the text of document {doc_id!r} must be a string, got {type(text).__name__}")
        if text is not None and not is_encodable(text):
            raise InvalidInputError(
                f"the text of document {doc_id!r} holds a lone surrogate and cannot be stored as UTF-8"
            )
    return None if all(text is None for text in texts) else texts


def optional_text(value: str | None, what: str) -> str | None:
    """Return `value` if it is a string or None.

    Raises:
        InvalidTypeError: anything else.
    """
    if value is not None and not isinstance(value, str):
        raise InvalidTypeError(f"{what} must be a string or None, got {type(value).__name__}")
    return value


def non_negative_int(value: Any, name: str, *, minimum: int = 0) -> int:
    """Return `value` as an int ≥ `minimum`.

    Raises:
        InvalidTypeError: not an integer (bool is none).
        InvalidInputError: below the minimum.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise InvalidTypeError(f"{name} must be an integer ≥ {minimum}, got {type(value).__name__} {value!r:.60}")
    if value < minimum:
        raise InvalidInputError(f"{name} must be ≥ {minimum}, got {value}")
    return int(value)
