"""The hook through which Kayak finds the encoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kayak

DEFAULT_MODEL = "colbert-ir/colbertv2.0"


def open_colbert_encoder(
    *,
    model_name: str | None = None,
    model: Any = None,
    device: str | None = None,
    batch_size: int = 32,
    dtype: str | None = None,
    revision: str | None = None,
    query_length: int | None = None,
    document_length: int | None = None,
    token_pooling: Any = None,
    local_files_only: bool | None = None,
    trust_remote_code: bool = False,
) -> kayak.LateTextEncoder:
    """Open a ColBERT checkpoint, or adapt a model that is loaded already.

    Args:
        model_name: a folder, or a name on the Hugging Face Hub; "colbert-ir/colbertv2.0" unless given. Formats of
            Stanford ColBERT, PyLate and sentence-transformers (`MultiVectorEncoder`). Loaded when first needed.
        model: instead of a name, a `MultiVectorEncoder` of sentence-transformers or a `ColBERT` of PyLate.
        device: where it runs, for example "cpu" or "cuda"; an accelerator where there is one, unless given.
        batch_size: most texts in one forward pass; on a CPU, batches are smaller where that saves padding.
        dtype: element type of the weights: "float32", "float16" or "bfloat16"; the checkpoint's own unless given.
        revision: branch, tag or commit on the hub.
        query_length: most tokens of a query, markers included; the checkpoint's own unless given.
        document_length: most tokens of a document likewise.
        token_pooling: a factor (2 keeps about every second document vector), or a pooling object of
            sentence-transformers.
        local_files_only: True never asks the hub, False always does; unless given, only what is not in the cache.
        trust_remote_code: whether code that comes with the checkpoint may be executed.

    Raises:
        kayak.InvalidTypeError, kayak.InvalidInputError: malformed arguments, or some that do not go with `model`.
    """
    from kayak_colbert.encoder import ColbertEncoder
    from kayak_colbert.options import ModelOptions

    loading: dict[str, Any] = {
        "model_name": model_name,
        "device": device,
        "dtype": dtype,
        "revision": revision,
        "query_length": query_length,
        "document_length": document_length,
        "local_files_only": local_files_only,
        "trust_remote_code": trust_remote_code or None,
    }
    given = {name: value for name, value in loading.items() if value is not None}
    if model is None:
        given.setdefault("model_name", DEFAULT_MODEL)
        return ColbertEncoder(ModelOptions(**given), batch_size=batch_size, token_pooling=token_pooling)
    if given:
        raise kayak.InvalidInputError(
            f"{', '.join(f'{name}=' for name in given)} say how a model is loaded, but model= is loaded already; set "
            "them on the model, or give model_name= instead"
        )
    return ColbertEncoder(None, model=model, batch_size=batch_size, token_pooling=token_pooling)


@kayak.hookimpl
def kayak_encoders() -> Iterator[kayak.EncoderSpec]:
    """Provide `colbert`."""
    yield kayak.EncoderSpec(
        name="colbert",
        factory=open_colbert_encoder,
        summary="ColBERT checkpoints of Stanford, PyLate and sentence-transformers",
        requirements=("sentence-transformers>=6",),
    )
