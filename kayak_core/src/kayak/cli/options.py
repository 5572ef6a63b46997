"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kayak.cli.arguments import DEFAULT_PATH

Store = Annotated[str, typer.Option("--store", help="Store kind; `kayak doctor` lists them.")]
StorePath = Annotated[
    str | None, typer.Option("--path", help=f"The store's path; the kayak store takes {DEFAULT_PATH} unless given.")
]
StoreArguments = Annotated[
    list[str] | None, typer.Option("--store-arg", metavar="KEY=VALUE", help="Argument of the store; may be repeated.")
]
Encoder = Annotated[str, typer.Option("--encoder", help="Encoder kind; the same for indexing and searching.")]
EncoderArguments = Annotated[
    list[str] | None,
    typer.Option("--encoder-arg", metavar="KEY=VALUE", help="Argument of the encoder; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to stdout.")]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw a picture into this file, for example out.png.")
]
