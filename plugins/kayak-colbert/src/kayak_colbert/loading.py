"""Loads models by name: a folder, the cache of the Hugging Face Hub, or the hub itself."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import kayak

from kayak_colbert.checkpoints import require_late_interaction
from kayak_colbert.options import ModelOptions

_log = logging.getLogger("kayak_colbert")
_OTHERS = ("onnx", "openvino")
"""Folders in which checkpoints keep their weights for other frameworks."""
_FETCH = "Fetch it once where the network is there (`hf download {name}`) and copy the cache"


@attrs.frozen
class LoadedModel:
    """A model, and where it came from.

    Attributes:
        model: the `MultiVectorEncoder`.
        source: a description for people.
    """

    model: Any
    source: str


def load_model(options: ModelOptions) -> LoadedModel:
    """Load the model that the options name.

    A model on the hub is taken from the cache where the cache has it, without asking the hub.

    Raises:
        kayak.EncoderUnavailableError: it is not there, cannot be fetched or read, or is of another sort; or the device
            cannot be used.
        kayak.InvalidInputError: a length that the model cannot read.
    """
    folder = options.folder
    if folder is not None:
        return _load_folder(folder, options, f"folder {folder}")
    cached = None if options.local_files_only is False else _cached_folder(options)
    if cached is not None:
        try:
            return _load_folder(cached, options, f"cache of the Hugging Face Hub, {options.model_name} in {cached}")
        except kayak.EncoderUnavailableError as error:
            # A download that was cut off leaves a part of a checkpoint; the hub has the rest, if it may be asked.
            if options.local_files_only or _hub_is_off() or not isinstance(error.__cause__, OSError):
                raise
    if options.local_files_only or _hub_is_off():
        raise kayak.EncoderUnavailableError(_not_cached(options))
    return _load_from_hub(options)


def _load_folder(folder: Path, options: ModelOptions, source: str, *, fetched: bool = False) -> LoadedModel:
    def find(filename: str) -> str | None:
        path = folder / filename
        return str(path) if path.is_file() else None

    require_late_interaction(find, str(folder))
    _log.info("loading %s from the %s", options.model_name, source)
    # Code that comes with a checkpoint may lie in another repository, which the fetched files do not hold.
    return LoadedModel(_open(folder, options, local_files_only=not (fetched and options.trust_remote_code)), source)


def _load_from_hub(options: ModelOptions) -> LoadedModel:
    from huggingface_hub import hf_hub_download

    files = _files_on_hub(options)
    version = options.revision or "its default branch"
    _log.warning("%s at %s is fetched from the Hugging Face Hub", options.model_name, version)

    def fetch(filename: str) -> str:
        return str(hf_hub_download(options.model_name, filename, revision=options.revision))

    with _translated(options):
        require_late_interaction(lambda name: fetch(name) if name in files else None, options.model_name)
        wanted = sorted(file for file in files if _is_used(file, files))
        places = [fetch(file) for file in wanted]
    folder = Path(places[0].removesuffix(wanted[0]))
    return _load_folder(
        folder, options, f"Hugging Face Hub, {options.model_name} at {version} in {folder}", fetched=True
    )


def _is_used(file: str, files: Collection[str]) -> bool:
    """Leave out the weights of other frameworks, and those that are there as safetensors too."""
    path = Path(file)
    if path.suffix in (".h5", ".msgpack", ".onnx", ".onnx_data", ".ot", ".tflite") or path.parts[0] in _OTHERS:
        return False
    return path.suffix != ".bin" or not any(
        other.endswith(".safetensors") and Path(other).parent == path.parent for other in files
    )


def _files_on_hub(options: ModelOptions) -> frozenset[str]:
    """Ask the hub once which files the model has: the loaders ask a hub that is away for minutes, file by file."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        found = HfApi().model_info(options.model_name, revision=options.revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except HFValidationError as error:
        raise kayak.EncoderUnavailableError(_no_name(options, error)) from error
    except HfHubHTTPError as error:
        raise kayak.EncoderUnavailableError(
            f"the Hugging Face Hub does not give {options.model_name!r}{_version(options)}: {_reason(error)}. Check "
            "the name and revision=; a private or gated model needs `hf auth login`"
        ) from error
    # What its client raises where there is no answer depends on the client's version.
    except Exception as error:
        cached = options.local_files_only is False and _cached_folder(options) is not None
        raise kayak.EncoderUnavailableError(
            f"{options.model_name!r}{_version(options)} is to be fetched, but the Hugging Face Hub cannot be reached "
            f"({_reason(error)}). "
            + (
                "It is in the cache: leave local_files_only out to open that"
                if cached
                else f"{_FETCH.format(name=options.model_name)}, or give the folder of a checkpoint as model_name="
            )
        ) from error
    return frozenset(each.rfilename for each in found.siblings or ())


def _open(folder: Path, options: ModelOptions, *, local_files_only: bool) -> Any:
    from sentence_transformers import MultiVectorEncoder

    with _translated(options), _quietly():
        model = MultiVectorEncoder(
            str(folder),
            device=options.device,
            local_files_only=local_files_only,
            trust_remote_code=options.trust_remote_code,
            model_kwargs=None if options.dtype is None else {"dtype": options.dtype},
        )
    _set_lengths(model, options)
    return model


def _set_lengths(model: Any, options: ModelOptions) -> None:
    first = model[0]
    for side in ("query", "document"):
        length = getattr(options, f"{side}_length")
        if length is None:
            continue
        if not hasattr(first, f"{side}_length"):
            raise kayak.InvalidInputError(f"{options.model_name} has no {side}_length to set; leave {side}_length out")
        least = _marker_count(model, side) + 1
        most = getattr(getattr(first, "config", None), "max_position_embeddings", None)
        if length < least or (most is not None and length > most):
            raise kayak.InvalidInputError(
                f"{side}_length={length} does not suit {options.model_name}: its markers take {least - 1} tokens"
                + (f", and it reads {most}" if most is not None else "")
                + f"; choose {least} or more"
                + (f", up to {most}" if most is not None else "")
            )
        expansion = getattr(first, "query_expansion", None) if side == "query" else None
        if expansion is None:
            setattr(first, f"{side}_length", length)
        elif expansion["strategy"] == "fixed":
            first.query_length = None
            first.query_expansion = {**expansion, "length": length}
        elif length >= expansion["length"]:
            first.query_length = length
        else:
            raise kayak.InvalidInputError(
                f"query_length={length} is below the {expansion['length']} tokens to which {options.model_name} "
                "expands every query; choose as many or more"
            )


def _marker_count(model: Any, side: str) -> int:
    prompt = model.prompts.get(side) or ""
    return len(model.tokenizer(prompt)["input_ids"])


def _cached_folder(options: ModelOptions) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        for filename in ("config.json", "modules.json"):
            found = try_to_load_from_cache(options.model_name, filename, revision=options.revision)
            if isinstance(found, str):
                return Path(found).parent
    except HFValidationError as error:
        raise kayak.EncoderUnavailableError(_no_name(options, error)) from error
    return None


def _hub_is_off() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _not_cached(options: ModelOptions) -> str:
    from huggingface_hub import constants

    why = "local_files_only=True" if options.local_files_only else "HF_HUB_OFFLINE is set"
    return (
        f"{options.model_name!r}{_version(options)} is not in the cache {constants.HF_HUB_CACHE}, and the Hugging Face "
        f"Hub may not be asked ({why}). {_FETCH.format(name=options.model_name)}, or give the folder of a checkpoint "
        "as model_name="
    )


def _no_name(options: ModelOptions, error: Exception) -> str:
    return f"model_name={options.model_name!r} is neither a folder nor a name on the Hugging Face Hub ({error})"


def _version(options: ModelOptions) -> str:
    return f" at revision {options.revision!r}" if options.revision else ""


def _reason(error: Exception) -> str:
    return f"{' '.join(str(error).split()) or type(error).__name__:.400}"


@contextmanager
def _translated(options: ModelOptions) -> Iterator[None]:
    try:
        yield
    except kayak.KayakError:
        raise
    # The loaders raise whatever lies below them, down to the bare Exception of the tokenizers library.
    except Exception as error:
        raise kayak.EncoderUnavailableError(
            f"{options.model_name!r} cannot be loaded: {_reason(error)}. Check the name, the folder's files, device= "
            "and dtype=, and the network if it has to be fetched"
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what says nothing out of the terminal; downloads keep their progress bars.

    That is the bar that transformers draws while it copies weights, and its report where all that it says is that the
    checkpoint holds more than the transformer: of Stanford's checkpoints that is the projection, which is read apart.
    """
    from transformers.utils import logging as transformers_logging

    def says_something(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return "LOAD REPORT" not in message or "MISSING" in message or "MISMATCH" in message

    shown = transformers_logging.is_progress_bar_enabled()
    logger = logging.getLogger("transformers.modeling_utils")
    if shown:
        transformers_logging.disable_progress_bar()
    logger.addFilter(says_something)
    try:
        yield
    finally:
        logger.removeFilter(says_something)
        if shown:
            transformers_logging.enable_progress_bar()
