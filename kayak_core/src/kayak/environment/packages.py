"""What is installed, read from the metadata of distributions; nothing is imported."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import attrs

import kayak

CORE_DISTRIBUTION = "kayak-core"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


@attrs.frozen
class PackageStatus:
    """An optional package.

    Attributes:
        name: name of the distribution.
        version: the installed version, or None.
        needed_by: requirement and who states it, for example "qdrant-client>=1.12 for store 'qdrant'".
    """

    name: str
    version: str | None
    needed_by: tuple[str, ...]


def installed_version(name: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def package_statuses(wanted: list[tuple[str, str]]) -> tuple[PackageStatus, ...]:
    """Look up optional packages.

    Args:
        wanted: (requirement string, who needs it) pairs.

    Returns:
        One status a distribution, sorted by name.
    """
    by_name: dict[str, list[str]] = {}
    for requirement, who in wanted:
        match = _NAME.match(requirement)
        if match:
            needs = requirement.partition(";")[0].strip()
            by_name.setdefault(match.group().lower().replace("_", "-"), []).append(f"{needs} for {who}")
    return tuple(
        PackageStatus(name, installed_version(name), tuple(dict.fromkeys(needs)))
        for name, needs in sorted(by_name.items())
    )


def requirements_of_extras() -> list[tuple[str, str]]:
    """Return what the extras of kayak-core need; nothing where it runs from a source folder."""
    try:
        requirements = metadata.requires(CORE_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    return [(r, f"kayak-core[{extra.group(1)}]") for r in requirements if (extra := _EXTRA.search(r))]


def core_location() -> str:
    """Say which version of the core runs, and from where."""
    folder = Path(kayak.__file__).parent
    state = "" if installed_version(CORE_DISTRIBUTION) else ", not installed as a distribution"
    return f"{kayak.__version__} (from {folder}{state})"


def other_owners() -> tuple[str, ...]:
    """Return the distributions besides kayak-core that install files under the import name `kayak`."""
    # `packages_distributions()` answers this too, but parses every path of every distribution: a second or more.
    owners = {dist.metadata["Name"] for dist in metadata.distributions() if _installs_kayak(dist)}
    return tuple(sorted(name for name in owners if name.lower().replace("_", "-") != CORE_DISTRIBUTION))


def _installs_kayak(distribution: metadata.Distribution) -> bool:
    files = distribution.read_text("RECORD") or distribution.read_text("installed-files.txt") or ""
    return "\nkayak/" in f"\n{files}" or "kayak" in (distribution.read_text("top_level.txt") or "").split()
