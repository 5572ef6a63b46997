"""`ColbertEncoder`: texts to late-interaction objects, through a model that is loaded when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import kayak
from kayak.typing import DocIdsInput, DocTextsInput, QueryTextsInput

from kayak_colbert.models import TokenModel, Vectors
from kayak_colbert.options import ModelOptions, require_count
from kayak_colbert.pooling import check_pooling
from kayak_colbert.texts import Side, checked_texts, length_sorted_batches
from kayak_colbert.truncation import Truncation

DEFAULT_BATCH = 32
"""Texts in one forward pass, unless told otherwise."""

DEFAULT_WINDOW = 512
"""Documents that `encode_document_batches` reads ahead to sort by length, unless told otherwise."""


class ColbertEncoder:
    """Encodes texts with a ColBERT model: a checkpoint of Stanford ColBERT, PyLate or sentence-transformers.

    `kayak.open_encoder("colbert", …)` makes one. The model is loaded when it is first needed, once. Texts are encoded
    in batches of similar length and come back in the order given, as float32, normalised as the checkpoint says.
    Instances may be shared between threads, which take turns at the model.

    Args:
        options: how to load the model; None with `model`.
        model: a model that is loaded already: a `MultiVectorEncoder` of sentence-transformers, or a `ColBERT` of
            PyLate. It is used as it is.
        batch_size: most texts in one forward pass, ≥ 1. On a CPU, batches are smaller where that saves
            padding, and hold 2,048 tokens at most.
        token_pooling: merges the vectors of similar document tokens: a factor (2 keeps about every second vector), or
            a pooling object of sentence-transformers; None keeps all.

    Raises:
        kayak.InvalidTypeError, kayak.InvalidInputError: malformed arguments. What the model has to be asked for is
            raised when it is first needed.
    """

    def __init__(
        self,
        options: ModelOptions | None,
        *,
        model: Any = None,
        batch_size: int = DEFAULT_BATCH,
        token_pooling: object = None,
    ) -> None:
        if (options is None) == (model is None):
            raise kayak.InvalidInputError("give either options or model=, one of them")
        self.batch_size = require_count(batch_size, "batch_size")
        check_pooling(token_pooling)
        self._options = options
        self._token_pooling = token_pooling
        self._lock = threading.RLock()
        self._ready: TokenModel | None = None
        self._source = "not loaded yet"
        self._fingerprint: str | None = None
        self._truncation = Truncation()
        if model is not None:
            self._adopt(model, f"the {type(model).__name__} that was given")

    def __repr__(self) -> str:
        name = "model=…" if self._options is None else f"model_name={self._options.model_name!r}"
        return f"ColbertEncoder({name}, batch_size={self.batch_size}, source={self._source!r})"

    @property
    def source(self) -> str:
        """Where the model came from, for people; "not loaded yet" before it is needed."""
        return self._source

    @property
    def truncated_documents(self) -> int:
        """Number of documents so far of which only the beginning was encoded; a warning names the first."""
        return self._truncation.documents

    @property
    def truncated_queries(self) -> int:
        """Number of queries so far of which only the beginning was encoded; a warning names the first."""
        return self._truncation.queries

    @property
    def dim(self) -> int:
        """Dimension of the token vectors; loads the model.

        Raises:
            kayak.EncoderUnavailableError: the model cannot be loaded.
        """
        return self._model().dim

    @property
    def fingerprint(self) -> str | None:
        """Names all that the vectors depend on: weights, vocabulary, settings, lengths, pooling; loads the model.

        A folder that was moved or copied keeps its fingerprint. None where token pooling is a function, which nothing
        names.

        Raises:
            kayak.EncoderUnavailableError: the model cannot be loaded.
        """
        with self._lock:
            if self._fingerprint is None:
                self._fingerprint = self._make_fingerprint(self._model())
            return self._fingerprint

    def encode_query(self, text: str) -> kayak.LateQuery:
        """Encode one query; the result carries its text.

        Raises:
            kayak.InvalidTypeError: the text is no string.
            kayak.EncodingError: the text is empty or blank, or the model fails on it.
            kayak.EncoderUnavailableError: the model cannot be loaded.
        """
        return self.encode_queries([text])[0]

    def encode_queries(self, texts: QueryTextsInput) -> list[kayak.LateQuery]:
        """Encode queries in batches, in order; raises as `encode_query`."""
        given = checked_texts(texts, "query")
        found = self._encode(given, "query", [f"query {text!r:.60}" for text in given])
        return [kayak.query(vectors, text=text) for vectors, text in zip(found, given, strict=True)]

    def encode_document_vectors(self, text: str) -> Vectors:
        """Encode one document: float32 of shape (token vectors, dim); raises as `encode_query`."""
        return self.encode_document_batch([text])[0]

    def encode_document_batch(self, texts: DocTextsInput) -> list[Vectors]:
        """Encode documents in batches, one matrix each, in order; raises as `encode_query`."""
        given = checked_texts(texts, "document")
        names = [f"texts[{place}] (beginning {text[:40]!r})" for place, text in enumerate(given)]
        return self._encode(given, "document", names)

    def encode_documents(
        self, doc_ids: DocIdsInput, texts: DocTextsInput, *, show_progress: bool | None = None
    ) -> kayak.LateDocuments:
        """Encode documents in batches; the result carries their texts, in the order given.

        Args:
            doc_ids: unique, non-empty ids.
            texts: one text a document.
            show_progress: True shows a progress bar, False none; None shows one on a terminal.

        Raises:
            kayak.InvalidTypeError, kayak.InvalidInputError: malformed or misaligned ids and texts.
            kayak.EncodingError: a text is empty or blank, or the model fails on it; the message names the document.
            kayak.EncoderUnavailableError: the model cannot be loaded.
        """
        ids, given = _aligned(doc_ids, texts)
        with _bar(len(given), show_progress if len(given) > self.batch_size else bool(show_progress)) as bar:
            found = self._encode(given, "document", [f"document {doc_id!r}" for doc_id in ids], bar.update)
        return kayak.documents(ids, found, texts=given)

    def encode_document_batches(
        self,
        documents: Iterable[tuple[str, str]],
        *,
        documents_at_a_time: int = DEFAULT_WINDOW,
        total: int | None = None,
        show_progress: bool | None = None,
    ) -> Iterator[kayak.LateDocuments]:
        """Encode documents as they come, in bounded memory and in order.

        Args:
            documents: (id, text) pairs.
            documents_at_a_time: documents that are read, sorted by length, encoded and given back together, ≥ 1.
            total: how many will come, for the progress bar.
            show_progress: True shows a progress bar, False none; None shows one on a terminal.

        Yields:
            `documents_at_a_time` documents each, the last time what is left.

        Raises:
            kayak.InvalidTypeError, kayak.InvalidInputError, kayak.EncodingError: a malformed document, as in
                `encode_documents`; what was yielded before stays valid.
            kayak.EncoderUnavailableError: the model cannot be loaded.
        """
        size = require_count(documents_at_a_time, "documents_at_a_time")
        return self._batches(iter(documents), size, total, show_progress)

    def tokens(self, text: str) -> list[str]:
        """Return a document's tokens, aligned with the rows of `encode_document_vectors`.

        Vectors that pooling merged have the tokens that they stand for, joined by "+".

        Raises:
            kayak.InvalidTypeError, kayak.EncodingError: as `encode_query`.
            kayak.UnsupportedOperationError: the model does not say which token a vector stands for.
            kayak.EncoderUnavailableError: the model cannot be loaded.
        """
        return self._token_strings(text, "document")

    def query_tokens(self, text: str) -> list[str]:
        """Return a query's tokens, aligned with the rows of `encode_query`; raises as `tokens`."""
        return self._token_strings(text, "query")

    def _token_strings(self, text: str, side: Side) -> list[str]:
        (given,) = checked_texts([text], side)
        with self._lock:
            return self._model().token_strings(given, side)

    def _batches(
        self, documents: Iterator[tuple[str, str]], size: int, total: int | None, show_progress: bool | None
    ) -> Iterator[kayak.LateDocuments]:
        with _bar(total, show_progress) as bar:
            while window := list(islice(documents, size)):
                ids, texts = zip(*(_pair(each) for each in window), strict=True)
                encoded = self.encode_documents(ids, texts, show_progress=False)
                bar.update(len(window))
                yield encoded

    def _encode(self, texts: Sequence[str], side: Side, names: Sequence[str], advance: Any = None) -> list[Vectors]:
        if not texts:
            return []
        found: dict[int, Vectors] = {}
        with self._lock:
            model = self._model()
            lengths = model.count_tokens(texts, side)
            limit = model.max_tokens(side)
            read = [min(length, limit or length) for length in lengths]
            for batch in length_sorted_batches(read, self.batch_size, model.tokens_at_once):
                try:
                    vectors = model.encode([texts[place] for place in batch], side)
                except (RuntimeError, IndexError, ValueError, MemoryError) as error:
                    raise kayak.EncodingError(
                        f"{self._source} fails on {names[batch[0]]} and {len(batch) - 1} other texts: {error}; "
                        "a smaller batch_size= needs less memory"
                    ) from error
                found.update(zip(batch, vectors, strict=True))
                if advance is not None:
                    advance(len(batch))
            self._truncation.count(lengths, limit, side, names)
        for place, name in enumerate(names):
            if not len(found[place]):
                raise kayak.EncodingError(f"the model keeps no token of {name}", position=place)
        return [found[place] for place in range(len(texts))]

    def _model(self) -> TokenModel:
        with self._lock:
            if self._ready is None and self._options is not None:
                from kayak_colbert.loading import load_model

                loaded = load_model(self._options)
                self._adopt(loaded.model, loaded.source)
            if self._ready is None:
                raise kayak.EncoderUnavailableError("this encoder has no model")
            return self._ready

    def _adopt(self, model: Any, source: str) -> None:
        from kayak_colbert.models import adapt

        self._ready = adapt(model, self._token_pooling)
        self._source = source

    def _make_fingerprint(self, model: TokenModel) -> str | None:
        from kayak_colbert.identity import content_hash

        pooling = model.settings()["pooling"]
        if pooling is None and self._token_pooling is not None:
            return None
        name = "" if self._options is None or self._options.folder is not None else f"{self._options.model_name}, "
        return (
            f"colbert({name}sha256={content_hash(model)}, query_length={model.max_tokens('query')}, "
            f"document_length={model.max_tokens('document')}, pooling={pooling}, dim={model.dim})"
        )


def _aligned(doc_ids: DocIdsInput, texts: DocTextsInput) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Check ids and texts before anything is encoded, by the value that will hold them."""
    try:
        given = checked_texts(texts, "document")
    except kayak.EncodingError as error:
        ids = tuple(doc_ids)
        place = error.position
        if place is None or place >= len(ids):
            raise
        raise kayak.EncodingError(
            f"document {ids[place]!r} cannot be encoded: {error}", position=place, doc_id=str(ids[place])
        ) from None
    held = kayak.documents(doc_ids, [[[0.0]]] * len(given), texts=given)
    return held.doc_ids, given


def _pair(document: tuple[str, str]) -> tuple[str, str]:
    if not isinstance(document, tuple | list) or len(document) != 2:
        raise kayak.InvalidTypeError(f"documents must be (id, text) pairs, got {document!r:.60}")
    return document[0], document[1]


def _bar(total: int | None, show: bool | None) -> Any:
    from tqdm import tqdm

    # tqdm's own None means: on a terminal only.
    return tqdm(
        total=total, desc="encoding", unit="doc", dynamic_ncols=True, disable=None if show is None else not show
    )
