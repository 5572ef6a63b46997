"""Where Kayak keeps what it can make again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Return the user's cache folder for Kayak, where this platform keeps caches; it may not exist yet."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "kayak" / "Cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "kayak"
    configured = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(configured) if Path(configured).is_absolute() else home / ".cache") / "kayak"
