"""`open_text_retriever`: from names, objects or models to a working retriever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kayak.contracts import LateStore, LateTextEncoder
from kayak.errors import BackendUnavailableError, InvalidInputError, InvalidTypeError
from kayak.plugins import executor_preference, find_executor, open_encoder, open_store, usable_backends
from kayak.retrieval.retriever import LateTextRetriever
from kayak.values import INDEX_LAYOUTS, PACKED_LAYOUT

_STORE_METHODS = ("upsert", "delete", "load_index", "stats", "capabilities", "close")


def preferred_backend() -> str:
    """Return the backend that `open_text_retriever` uses unless told otherwise.

    The available executor with the highest preference: mojo_exact_cpu where it can run, else numpy_reference.

    Raises:
        BackendUnavailableError: none can run, for example because two plugins claim the same name.
    """
    usable = usable_backends()
    if not usable:
        raise BackendUnavailableError("no backend can run here; kayak.doctor() says what is wrong with each")
    return max(usable, key=executor_preference)


def open_text_retriever(
    *,
    encoder: str | LateTextEncoder | object,
    store: str | LateStore,
    backend: str | None = None,
    encoder_kwargs: Mapping[str, Any] | None = None,
    store_kwargs: Mapping[str, Any] | None = None,
    default_layout: str = PACKED_LAYOUT,
    default_include_text: bool = False,
) -> LateTextRetriever:
    """Open a retriever: one object that encodes, stores and searches texts.

    Args:
        encoder: an encoder kind, an encoder object, or a model with one method for queries and one for documents
            (`encode_query_tokens` and `encode_document_tokens`, or those named in `encoder_kwargs`).
        store: a store kind, or an open store, which closing the retriever leaves open.
        backend: executor of the searches; unless given, the fastest that can run here (see `retriever.backend`).
        encoder_kwargs: arguments for the encoder kind or model.
        store_kwargs: arguments for the store kind.
        default_layout: layout in which slices are loaded, unless a search names another.
        default_include_text: whether slices carry texts, unless a search says otherwise.

    Raises:
        UnknownKindError: no such kind or backend; the message says what to install where we know.
        InvalidTypeError: arguments that the kind does not take, or objects that are no encoder or store.
        InvalidInputError: keyword arguments for an object that is already open.
        BackendUnavailableError: the named backend cannot run here.
        EncoderMismatchError: the store's documents were encoded by another encoder.
        StoreError: the store cannot be opened.
    """
    if default_layout not in INDEX_LAYOUTS:
        raise InvalidInputError(f"unknown index layout {default_layout!r}; expected one of {', '.join(INDEX_LAYOUTS)}")
    if backend is not None:
        find_executor(backend)
    ready_encoder = _open_encoder(encoder, dict(encoder_kwargs or {}))
    ready_store, owned = _open_store(store, dict(store_kwargs or {}))
    try:
        return LateTextRetriever(
            ready_encoder,
            ready_store,
            backend=backend or preferred_backend(),
            default_layout=default_layout,
            default_include_text=default_include_text,
            owns_store=owned,
        )
    except BaseException:
        if owned:
            ready_store.close()
        raise


def _open_encoder(encoder: str | LateTextEncoder | object, kwargs: dict[str, Any]) -> LateTextEncoder:
    if isinstance(encoder, str):
        return open_encoder(encoder, **kwargs)
    if isinstance(encoder, LateTextEncoder) and not isinstance(encoder, type):
        if kwargs:
            raise InvalidInputError(
                f"encoder_kwargs={kwargs!r:.80} configure an encoder kind or a model, but encoder is already a "
                f"{type(encoder).__name__}"
            )
        return encoder
    return open_encoder("callable", model=encoder, **kwargs)


def _open_store(store: str | LateStore, kwargs: dict[str, Any]) -> tuple[LateStore, bool]:
    if isinstance(store, str):
        return open_store(store, **kwargs), True
    missing = [name for name in _STORE_METHODS if not callable(getattr(store, name, None))]
    if missing or isinstance(store, type):
        raise InvalidTypeError(
            f"store must be a store kind or an open store, got {type(store).__name__}"
            + (f" without {', '.join(missing)}" if missing else " (a class; make an instance)")
        )
    if kwargs:
        raise InvalidInputError(
            f"store_kwargs={kwargs!r:.80} configure a store kind, but store is already a {type(store).__name__}"
        )
    return store, False
