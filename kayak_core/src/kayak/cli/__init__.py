"""The `kayak` command (extra `cli`): index, search, explain, and see what is installed."""

from __future__ import annotations

import importlib.util
import sys

_NEEDED = ("typer", "rich", "tqdm")


def main() -> None:
    """Run the command line; the console script `kayak` calls this.

    Exits with 0 after success, 1 after an error of ours, 2 after wrong usage, 130 after Ctrl-C.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"The kayak command needs {', '.join(missing)}: install with `pip install 'kayak-core[cli]'`.\n"
        )
        raise SystemExit(1)
    from kayak.cli.app import app
    from kayak.cli.console import prepare_streams

    prepare_streams()
    app(prog_name="kayak")
