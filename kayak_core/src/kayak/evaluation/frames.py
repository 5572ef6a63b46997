"""Data frames, where pandas is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kayak.errors import MissingDependencyError


def data_frame(rows: Sequence[dict[str, Any]]) -> Any:
    """Return a pandas DataFrame of the rows.

    Raises:
        MissingDependencyError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingDependencyError(
            "to_dataframe() needs pandas; install it with `pip install pandas`, or use to_dict()"
        ) from error
    return pd.DataFrame.from_records(list(rows))
