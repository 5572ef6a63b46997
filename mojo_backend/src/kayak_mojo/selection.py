"""Chooses the library to run: the one compiled for this exact processor, or the best prebuilt one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import attrs

from kayak_mojo import cpu
from kayak_mojo.cache import CACHE_VARIABLE, cache_is_used, cached_manifests
from kayak_mojo.compiling import NATIVE
from kayak_mojo.library import Kernels, load_kernels
from kayak_mojo.manifest import MANIFEST_NAME, ManifestError, read_manifest

LEVEL_VARIABLE = "KAYAK_MOJO_LEVEL"
PREBUILT = Path(__file__).parent / "libraries"
_REINSTALL = "install it again with `pip install --force-reinstall --no-deps kayak-mojo`"
_BUILD_HERE = "`pip install mojo` and then `kayak mojo build` compile them for this machine"


@attrs.frozen(eq=False)
class Selection:
    """The library that was chosen, or why none was.

    Attributes:
        kernels: the loaded library, or None.
        reason: why it runs, or why not and what to do.
        notes: libraries that were passed over, and why.
    """

    kernels: Kernels | None
    reason: str
    notes: tuple[str, ...] = ()


def select_kernels(prebuilt: Path = PREBUILT) -> Selection:
    """Load the library to run; never raises because of what lies in a folder.

    Args:
        prebuilt: folder of the libraries that were installed with the package.
    """
    forced = os.environ.get(LEVEL_VARIABLE, "")
    if forced and forced not in (*cpu.LEVELS, NATIVE):
        return _unavailable(
            f"the environment variable {LEVEL_VARIABLE} is {forced!r}; unset it, or set it to one of "
            f"{', '.join((*cpu.LEVELS, NATIVE))}"
        )
    notes: list[str] = []
    if forced in ("", NATIVE) and cache_is_used():
        for path in cached_manifests(notes):
            try:
                return Selection(load_kernels(path, NATIVE), "compiled for this exact processor", tuple(notes))
            except ManifestError as error:
                notes.append(f"passed over: {error}; `kayak mojo build --force` compiles it again")
    if forced == NATIVE:
        why = "" if cache_is_used() else f", as {CACHE_VARIABLE} is set"
        return _unavailable(
            f"{LEVEL_VARIABLE} is {NATIVE!r}, but no library compiled for this processor is there{why}; "
            "`kayak mojo build` makes one",
            notes,
        )
    return _prebuilt(prebuilt, forced, notes)


def _prebuilt(folder: Path, forced: str, notes: list[str]) -> Selection:
    if not (folder / MANIFEST_NAME).exists():
        return _unavailable(f"this kayak-mojo was installed without compiled kernels; {_BUILD_HERE}", notes)
    runnable = cpu.levels()
    if forced and forced not in runnable:
        return _unavailable(
            f"{LEVEL_VARIABLE} is {forced!r}, but this processor executes {_listed(runnable)}; unset {LEVEL_VARIABLE} "
            "to let kayak-mojo choose",
            notes,
        )
    try:
        manifest = read_manifest(folder / MANIFEST_NAME)
        level = forced or next((level for level in runnable if level in manifest.libraries), "")
        if not level:
            return _unavailable(
                f"kayak-mojo was installed with kernels for {_listed(sorted(manifest.libraries))}, and this processor "
                f"({cpu.machine()}) executes {_listed(runnable)}; {_BUILD_HERE}",
                notes,
            )
        return Selection(load_kernels(folder / MANIFEST_NAME, level), f"prebuilt for {level}", tuple(notes))
    except ManifestError as error:
        return _unavailable(f"the installed kernels of kayak-mojo are refused: {error}; {_REINSTALL}", notes)


def _listed(levels: Sequence[str]) -> str:
    return ", ".join(levels) or "none of the levels"


def _unavailable(reason: str, notes: list[str] | None = None) -> Selection:
    return Selection(None, reason, tuple(notes or ()))
