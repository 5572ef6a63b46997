"""Progress bars for long work, through tqdm where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kayak.errors import MissingDependencyError


@contextmanager
def progress_bar(
    description: str, total: int | None, show: bool | None, *, unit: str = "doc"
) -> Iterator[Callable[[int], object]]:
    """Give a function that advances a bar by a number of things.

    Args:
        description: what is being done.
        total: how many steps there are, None where unknown.
        show: True shows a bar, False none; None shows one where tqdm is installed and stderr is a terminal.
        unit: what one step is called.

    Raises:
        MissingDependencyError: a bar is asked for and tqdm is not installed.
    """
    installed = importlib.util.find_spec("tqdm") is not None
    if show and not installed:
        raise MissingDependencyError(
            "show_progress=True needs tqdm; install it with `pip install 'kayak-core[progress]'`, "
            "or leave the argument out"
        )
    if show is False or not installed or (show is None and not sys.stderr.isatty()):
        yield _ignore
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=description, unit=unit, dynamic_ncols=True) as bar:
        yield bar.update


def _ignore(count: int) -> object:
    return count
