"""What a model is loaded with, checked before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import kayak

DTYPES = ("float32", "float16", "bfloat16")


@attrs.frozen(kw_only=True)
class ModelOptions:
    """How a model is loaded by its name.

    Attributes:
        model_name: a folder, or the name of a repository on the Hugging Face Hub.
        device: where it runs, for example "cpu" or "cuda:0"; None takes an accelerator where there is one.
        dtype: element type of its weights, one of `DTYPES`; None keeps the checkpoint's own.
        revision: branch, tag or commit on the hub; None is the default branch.
        query_length: most tokens of a query, markers included; None keeps the checkpoint's own.
        document_length: most tokens of a document, markers included; None keeps the checkpoint's own.
        local_files_only: True never asks the hub, False always does, None only for what is not in the cache.
        trust_remote_code: whether code that comes with the checkpoint may be executed.

    Raises:
        kayak.InvalidTypeError, kayak.InvalidInputError: a malformed value.
    """

    model_name: str
    device: str | None = None
    dtype: str | None = None
    revision: str | None = None
    query_length: int | None = None
    document_length: int | None = None
    local_files_only: bool | None = None
    trust_remote_code: bool = False

    def __attrs_post_init__(self) -> None:
        _require_text(self.model_name, "model_name")
        for name in ("device", "dtype", "revision"):
            if getattr(self, name) is not None:
                _require_text(getattr(self, name), name)
        if self.dtype not in (None, *DTYPES):
            raise kayak.InvalidInputError(f"unknown dtype {self.dtype!r}; expected one of {', '.join(DTYPES)}, or None")
        for name in ("query_length", "document_length"):
            if getattr(self, name) is not None:
                require_count(getattr(self, name), name)
        for name in ("local_files_only", "trust_remote_code"):
            if not isinstance(getattr(self, name), bool | None):
                raise kayak.InvalidTypeError(f"{name} must be True or False, got {getattr(self, name)!r:.60}")
        if self.revision is not None and self.folder is not None:
            raise kayak.InvalidInputError(
                f"revision={self.revision!r} names a version on the hub, but {self.model_name!r} is a local folder"
            )

    @property
    def folder(self) -> Path | None:
        """The folder that `model_name` names; None where it is a name on the hub.

        Raises:
            kayak.EncoderUnavailableError: it is a path, and there is no such folder.
        """
        path = Path(self.model_name).expanduser()
        if path.is_dir():
            return path
        looks_like_path = path.is_absolute() or self.model_name.startswith((".", "~")) or self.model_name.count("/") > 1
        if path.exists() or looks_like_path or "\\" in self.model_name:
            found = "is a file" if path.exists() else "does not exist"
            raise kayak.EncoderUnavailableError(
                f"model_name={self.model_name!r} {found}; give the folder that holds the checkpoint, or a name on the "
                "Hugging Face Hub such as 'colbert-ir/colbertv2.0'"
            )
        return None


def require_count(value: Any, name: str) -> int:
    """Return a number of things, at least 1.

    Raises:
        kayak.InvalidTypeError: no integer.
        kayak.InvalidInputError: below 1.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise kayak.InvalidTypeError(f"{name} must be an integer, got {value!r:.60}")
    if value < 1:
        raise kayak.InvalidInputError(f"{name} must be at least 1, got {value}")
    return value


def _require_text(value: object, name: str) -> None:
    if not isinstance(value, str):
        raise kayak.InvalidTypeError(f"{name} must be a string, got {type(value).__name__}")
    if not value.strip():
        raise kayak.InvalidInputError(f"{name} must not be empty")
