"""What a checkpoint is, by its configuration files, before its weights are loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kayak

_NATIVE_TYPES = ("MultiVectorEncoder", "ColBERT")
_PYLATE_KEYS = ("query_prefix", "document_prefix", "query_length", "document_length", "attend_to_expansion_tokens")

FindFile = Callable[[str], str | None]
"""From the name of a file in a checkpoint to its path; None where the checkpoint has no such file."""


def require_late_interaction(find: FindFile, name: str) -> None:
    """Refuse a checkpoint that was not made for late interaction.

    sentence-transformers opens any checkpoint as a multi-vector model, and gives one without a projection a random
    one: the result looks right and ranks at random.

    Args:
        find: finds the checkpoint's files.
        name: what the user calls it.

    Raises:
        kayak.EncoderUnavailableError: it holds no configuration, or that of another sort of model.
    """
    config = _read(find, "config.json")
    saved = _read(find, "config_sentence_transformers.json")
    modules = _read(find, "modules.json")
    if config is None and saved is None and modules is None:
        raise kayak.EncoderUnavailableError(
            f"{name} holds no checkpoint: there is neither config.json nor modules.json; give a folder that "
            "save_pretrained wrote"
        )
    if _is_late_interaction(config or {}, saved or {}, modules or []):
        return
    kind = (saved or {}).get("model_type") or ("SentenceTransformer" if modules else "plain transformer")
    raise kayak.EncoderUnavailableError(
        f"{name} is a {kind} checkpoint, not one for late interaction: it has no trained projection to token vectors "
        "and no query and document markers, so it would get random ones. Train it first (the repository's "
        "examples/train_colbert.py shows how), or name a ColBERT checkpoint such as 'colbert-ir/colbertv2.0'"
    )


def _is_late_interaction(config: dict[str, Any], saved: dict[str, Any], modules: list[dict[str, Any]]) -> bool:
    architectures = config.get("architectures") or []
    if "HF_ColBERT" in architectures or any(each.endswith("ForRetrieval") for each in architectures):
        return True
    if saved.get("model_type") in _NATIVE_TYPES:
        return True
    # Early versions of PyLate saved no model type, but their own settings and a projection.
    projects = any(str(module.get("type", "")).endswith("Dense") for module in modules)
    return "model_type" not in saved and projects and any(key in saved for key in _PYLATE_KEYS)


def _read(find: FindFile, filename: str) -> Any:
    path = find(filename)
    if path is None:
        return None
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise kayak.EncoderUnavailableError(f"{path} is no JSON ({error}); get the checkpoint again") from error
