"""A loaded kernel library: its functions with their C types, and what it is."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np

from kayak_mojo.manifest import ABI_VERSION, Manifest, ManifestError, library_path, read_manifest

_ADDRESS, _INT = ctypes.c_void_p, ctypes.c_ssize_t
# panels, panel_count, query_offsets, query_count, vectors, offsets, positions, lo, hi, dim, maxima, out, out_stride
_MAXSIM = (_ADDRESS, _INT, _ADDRESS, _INT, _ADDRESS, _ADDRESS, _ADDRESS, _INT, _INT, _INT, _ADDRESS, _ADDRESS, _INT)
_MAX_PANEL_WIDTH = 1024

MaxsimFunction = Callable[..., None]
"""`kayak_maxsim_*` of a library; see `_MAXSIM` for its arguments."""


@attrs.frozen(eq=False)
class Kernels:
    """The functions of one loaded library.

    Attributes:
        path: the library's file.
        level: the level that it was compiled for, or "native".
        compiler: the compiler that made it.
        panel_width: query vectors in a panel, see `packing.pack_panels`.
        maxsim: the scoring function for each element type of documents.
    """

    path: Path
    level: str
    compiler: str
    panel_width: int
    maxsim: dict[np.dtype[np.generic], MaxsimFunction]


def load_kernels(manifest_path: Path, level: str) -> Kernels:
    """Load the library of a level after checking its bytes: opening a damaged library could end the process.

    Raises:
        ManifestError: the manifest or the library is missing, damaged, foreign, or of another ABI.
    """
    manifest = read_manifest(manifest_path)
    return _loaded(library_path(manifest_path.parent, manifest, level), manifest, level)


def _loaded(path: Path, manifest: Manifest, level: str) -> Kernels:
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise ManifestError(f"{path} cannot be loaded: {error}") from error
    try:
        version = _answer(library, "kayak_abi_version")
        if version != ABI_VERSION:
            raise ManifestError(f"{path} has ABI {version}, but this kayak-mojo calls ABI {ABI_VERSION}")
        width = _answer(library, "kayak_panel_width")
        maxsim = {
            np.dtype(dtype): _function(library, f"kayak_maxsim_{suffix}")
            for dtype, suffix in ((np.float32, "f32"), (np.float16, "f16"))
        }
    except AttributeError as error:
        raise ManifestError(f"{path} is not a library of kayak-mojo: {error}") from error
    if not 1 <= width <= _MAX_PANEL_WIDTH:
        raise ManifestError(f"{path} gives the impossible panel width {width}")
    return Kernels(path, level, manifest.compiler, width, maxsim)


def _answer(library: ctypes.CDLL, name: str) -> int:
    function = library[name]
    function.restype, function.argtypes = _INT, ()
    return int(function())


def _function(library: ctypes.CDLL, name: str) -> MaxsimFunction:
    function = library[name]
    function.restype, function.argtypes = None, _MAXSIM
    return function
