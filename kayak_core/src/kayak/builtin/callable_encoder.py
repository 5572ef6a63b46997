"""The encoder `callable`: adapts a user's own functions or model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kayak.contracts import LateTextEncoder
from kayak.errors import EncodingError, InvalidInputError, InvalidTypeError, KayakError
from kayak.typing import DocIdsInput, DocTextsInput, Float32Matrix, TokenMatrixInput
from kayak.values import LateDocuments, LateQuery, documents, query
from kayak.values.coerce import document_ids, float32_matrix, optional_text, string_tuple

DEFAULT_QUERY_METHOD = "encode_query_tokens"
DEFAULT_DOCUMENT_METHOD = "encode_document_tokens"

TextToVectors = Callable[[str], TokenMatrixInput]


class CallableLateTextEncoder:
    """Turns two functions, text to token vectors, into an encoder.

    The functions are called with one text at a time; a model that batches keeps its batching inside them.

    Args:
        query_encoder: encodes a query as shape (token vectors, dimension).
        document_encoder: encodes a document likewise.
        fingerprint: names the model, so that a corpus can refuse queries of another; None leaves that unchecked.

    Raises:
        InvalidTypeError: an encoder is not callable.
    """

    def __init__(
        self, query_encoder: TextToVectors, document_encoder: TextToVectors, *, fingerprint: str | None = None
    ) -> None:
        for name, function in (("query_encoder", query_encoder), ("document_encoder", document_encoder)):
            if not callable(function):
                raise InvalidTypeError(f"{name} must be callable with a text, got {type(function).__name__}")
        self._query_encoder = query_encoder
        self._document_encoder = document_encoder
        self.fingerprint = optional_text(fingerprint, "fingerprint")

    @classmethod
    def from_model(
        cls,
        model: object,
        *,
        query_method: str = DEFAULT_QUERY_METHOD,
        document_method: str = DEFAULT_DOCUMENT_METHOD,
        fingerprint: str | None = None,
    ) -> CallableLateTextEncoder:
        """Wrap a model that has one method for queries and one for documents.

        Raises:
            InvalidTypeError: the model lacks a method of that name.
        """
        methods = []
        for argument, name in (("query_method", query_method), ("document_method", document_method)):
            method = getattr(model, name, None)
            if not callable(method):
                raise InvalidTypeError(
                    f"{type(model).__name__} has no method {name!r}; name the right one with {argument}=, or pass "
                    "query_encoder= and document_encoder= functions"
                )
            methods.append(method)
        return cls(*methods, fingerprint=fingerprint)

    def encode_query(self, text: str) -> LateQuery:
        """Encode one query; the result carries its text.

        Raises:
            EncodingError: the function returned something that is no matrix of finite token vectors.
        """
        return query(_encoded(self._query_encoder, text, "query"), text=text)

    def encode_document_vectors(self, text: str) -> Float32Matrix:
        """Encode one document, float32 of shape (token vectors, dimension).

        Raises:
            EncodingError: the function returned something that is no matrix of finite token vectors.
        """
        return _encoded(self._document_encoder, text, "document")

    def encode_documents(self, doc_ids: DocIdsInput, texts: DocTextsInput) -> LateDocuments:
        """Encode documents one by one; the result carries their texts.

        Raises:
            InvalidInputError: ids and texts do not align, or the documents differ in dimension.
            EncodingError: the function returned something that is no matrix of finite token vectors; the message
                names the document.
        """
        ids = document_ids(doc_ids)
        given = string_tuple(texts, "texts")
        if len(ids) != len(given):
            raise InvalidInputError(f"{len(given)} texts for {len(ids)} doc_ids; give one text a document")
        matrices = [
            _encoded(self._document_encoder, text, f"document {doc_id!r}")
            for doc_id, text in zip(ids, given, strict=True)
        ]
        return documents(ids, matrices, texts=given)


def _encoded(function: TextToVectors, text: str, what: str) -> Float32Matrix:
    if not isinstance(text, str):
        raise InvalidTypeError(f"the {what} text must be a string, got {type(text).__name__}")
    vectors = function(text)
    try:
        return float32_matrix(vectors, f"the encoder's result for {what} {text!r:.60}")
    except KayakError as error:
        raise EncodingError(str(error)) from error


def open_callable_encoder(
    *,
    query_encoder: TextToVectors | None = None,
    document_encoder: TextToVectors | None = None,
    model: Any = None,
    query_method: str | None = None,
    document_method: str | None = None,
    fingerprint: str | None = None,
) -> LateTextEncoder:
    """Make an encoder from two functions, or from a model and the names of its methods.

    Args:
        query_encoder: function from a query text to token vectors.
        document_encoder: function from a document text to token vectors.
        model: an object with both methods, instead of functions.
        query_method: its method for queries; `encode_query_tokens` unless given.
        document_method: its method for documents; `encode_document_tokens` unless given.
        fingerprint: names the model, so that a corpus can refuse queries of another.

    Raises:
        InvalidInputError: both forms, or neither, or half of one.
        InvalidTypeError: something that is not callable.
    """
    functions = (query_encoder, document_encoder)
    if model is not None:
        if any(function is not None for function in functions):
            raise InvalidInputError("give either model= or query_encoder= and document_encoder=, not both")
        return CallableLateTextEncoder.from_model(
            model,
            query_method=query_method or DEFAULT_QUERY_METHOD,
            document_method=document_method or DEFAULT_DOCUMENT_METHOD,
            fingerprint=fingerprint,
        )
    if query_encoder is None or document_encoder is None:
        raise InvalidInputError(
            "the callable encoder needs query_encoder= and document_encoder=, or model= "
            "(with query_method= and document_method= where its methods have other names)"
        )
    if query_method is not None or document_method is not None:
        raise InvalidInputError("query_method= and document_method= name methods of model=, which is not given")
    return CallableLateTextEncoder(query_encoder, document_encoder, fingerprint=fingerprint)
