"""The commands of `kayak`: what they take, and how their errors leave the process."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import kayak
from kayak.cli.arguments import DEFAULT_ENCODER, DEFAULT_STORE, Corpus, search_plan, where_filter
from kayak.cli.console import note, printable, stdout, write_json, write_text
from kayak.cli.documents import TEXT_SUFFIXES
from kayak.cli.evaluation_commands import evaluation_commands
from kayak.cli.options import Encoder, EncoderArguments, Json, Plot, Store, StoreArguments, StorePath
from kayak.cli.plugin_commands import claimants, load_command, plugin_commands
from kayak.errors import KayakError

DEBUG_VARIABLE = "KAYAK_DEBUG"
_INTERRUPTED = 130


class _Commands(TyperGroup):
    """Turns our errors into one line on stderr and exit code 1, and Ctrl-C into 130; finds commands of plugins."""

    def list_commands(self, ctx: Any) -> list[str]:
        own, added = super().list_commands(ctx), plugin_commands()
        for name in sorted(added.keys() & self.commands):
            source = claimants(added.pop(name))
            note(f"warning: {source} adds the command {name!r}, but Kayak has one of its own, which is kept")
        return [*own, *added]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        entries = plugin_commands().get(cmd_name)
        return None if entries is None else load_command(cmd_name, entries)

    def invoke(self, ctx: Any) -> Any:
        debug = bool(ctx.params.get("debug")) or os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()  # so that a reader that has gone away shows here
        except KeyboardInterrupt:
            note("interrupted")
            raise typer.Exit(_INTERRUPTED) from None
        except (KayakError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # the reader of a pipe has gone away, as `head` does; typer ends quietly
            if debug:
                traceback.print_exc()
            else:
                note(f"error: {' '.join(str(error).split())}")
            raise typer.Exit(1) from None
        return result


app = typer.Typer(
    name="kayak",
    cls=_Commands,
    help="Late-interaction retrieval: index texts, search them, and see what each score is made of.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # flows the lines of a docstring's paragraph
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Plan(StrEnum):
    """How a search runs."""

    exact = "exact"
    proxy = "proxy"
    native = "native"


class Verifier(StrEnum):
    """What reorders the window by its texts."""

    clause_text = "clause_text"


class OnError(StrEnum):
    """What happens to documents that cannot be read or encoded."""

    stop = "stop"
    skip = "skip"


def _show_version(wanted: bool) -> None:
    if wanted:
        write_text(f"kayak {kayak.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    debug: Annotated[
        bool, typer.Option("--debug", help=f"Show the traceback of an error; so does {DEBUG_VARIABLE}=1.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    del debug, version  # _Commands reads the one, its callback the other


@app.command()
def demo(
    question: Annotated[str | None, typer.Argument(metavar="QUESTION", help="Answer only this question.")] = None,
    *,
    path: Annotated[
        Path | None, typer.Option("--path", help="Folder of the demo's index; the user's cache unless given.")
    ] = None,
) -> None:
    """Search the docstrings of the Python standard library: no download, real text, a few seconds.

    The first run indexes them into a kayak store, later runs reuse it.
    """
    from kayak.cli.demo import run_demo

    run_demo(question, path)


@app.command()
def index(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A JSONL file, a folder of text files, or - for JSONL on stdin.")
    ],
    *,
    store: Store = DEFAULT_STORE,
    path: StorePath = None,
    store_arg: StoreArguments = None,
    encoder: Encoder = DEFAULT_ENCODER,
    encoder_arg: EncoderArguments = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Documents encoded and stored at a time.")] = 256,
    on_error: Annotated[
        OnError, typer.Option(help="What to do about documents that cannot be read or encoded.")
    ] = OnError.stop,
    force: Annotated[bool, typer.Option("--force", help="Encode and store unchanged documents again.")] = False,
    id_field: Annotated[str | None, typer.Option(help="JSON field of the id; 'id' or '_id' unless given.")] = None,
    text_field: Annotated[str, typer.Option(help="JSON field of the text.")] = "text",
    title_field: Annotated[str, typer.Option(help="JSON field put before the text where a line has it.")] = "title",
    metadata_field: Annotated[str, typer.Option(help="JSON field of a metadata object.")] = "metadata",
    suffix: Annotated[
        list[str] | None,
        typer.Option(help=f"File suffix to read in a folder; may be repeated. Unless given: {' '.join(TEXT_SUFFIXES)}"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Index documents into a store.

    SOURCE is a JSONL file with one object a line (id, text, metadata; BEIR's _id and title are understood, other fields
    become metadata), or a folder of text files, whose ids are their relative paths; hidden files are left out. Running
    it again goes on after an interruption and writes only what has changed.
    """
    from kayak.cli.documents import Fields, count_documents, read_documents
    from kayak.cli.indexing import IndexRun

    suffixes = tuple(f".{each.lower().lstrip('.')}" for each in suffix) if suffix else TEXT_SUFFIXES
    fields = Fields(id_field, text_field, title_field, metadata_field)
    corpus = Corpus(store, path, store_arg or (), encoder, encoder_arg or ())
    total = count_documents(source, suffixes)
    documents = read_documents(source, fields=fields, suffixes=suffixes)
    first = next(documents)  # a source that is not there makes no store
    with corpus.open(create=True) as retriever:
        run = IndexRun(retriever, batch_size, skip_errors=on_error is OnError.skip, force=force)
        try:
            run.run(chain([first], documents), total=total)
        except KeyboardInterrupt:
            note(f"interrupted: {run.summary()}; what is stored stays, and the same command goes on from there")
            raise typer.Exit(_INTERRUPTED) from None
        for line in run.skipped_lines():
            note(line)
        if as_json:
            write_json(run.to_dict())
        else:
            note(f"{run.summary()}; {retriever.stats().document_count:,} in the store")


@app.command()
def search(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to look for.")],
    *,
    store: Store = DEFAULT_STORE,
    path: StorePath = None,
    store_arg: StoreArguments = None,
    encoder: Encoder = DEFAULT_ENCODER,
    encoder_arg: EncoderArguments = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Documents to show.")] = 10,
    where: Annotated[str | None, typer.Option(metavar="JSON", help="Metadata filter.")] = None,
    plan: Annotated[
        Plan, typer.Option(help="Score everything, mean vectors first, or the store's own search.")
    ] = Plan.exact,
    candidate_k: Annotated[
        int | None, typer.Option(min=1, help="Candidates of stage 1; 10 k and at least 100 unless given.")
    ] = None,
    verify: Annotated[Verifier | None, typer.Option(help="Reorder the candidates by their texts.")] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Show what each stage touched and took.")] = False,
    as_json: Json = False,
) -> None:
    """Search a store that `kayak index` has filled."""
    from kayak.cli.searching import show_search

    corpus = Corpus(store, path, store_arg or (), encoder, encoder_arg or ())
    condition = where_filter(where)
    stages = search_plan(plan.value, k, candidate_k, verify.value if verify else None)
    with corpus.open(create=False) as retriever:
        show_search(retriever, query, stages, where=condition, profile=profile, as_json=as_json)


@app.command()
def explain(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The query.")],
    doc_id: Annotated[str, typer.Argument(metavar="DOC_ID", help="Id of a stored document.")],
    *,
    store: Store = DEFAULT_STORE,
    path: StorePath = None,
    store_arg: StoreArguments = None,
    encoder: Encoder = DEFAULT_ENCODER,
    encoder_arg: EncoderArguments = None,
    plot: Plot = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the explanation as a web page into this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which token of a document each token of a query found, and what that added to the score."""
    from kayak.cli.searching import show_explanation

    corpus = Corpus(store, path, store_arg or (), encoder, encoder_arg or ())
    with corpus.open(create=False) as retriever:
        explanation = kayak.explain(query, retriever, doc_id)
    show_explanation(explanation, as_json=as_json, plot=plot, html=html)


for _name, _command in evaluation_commands().items():
    app.command(name=_name)(_command)


@app.command()
def doctor(
    *,
    probe_mojo: Annotated[
        bool, typer.Option("--probe-mojo", help="Run the Mojo command line, if there is one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Report what is installed and what can run."""
    report = kayak.doctor(probe_mojo_load=probe_mojo)
    if as_json:
        write_json(report.to_dict())
    else:
        write_text(str(report))


@app.command()
def plugins(*, as_json: Json = False) -> None:
    """List the installed plugins, what they provide, and what is wrong with broken ones."""
    import attrs
    from rich import box
    from rich.table import Table
    from rich.text import Text

    found = kayak.list_plugins()
    if as_json:
        write_json([attrs.asdict(plugin) for plugin in found])
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("plugin", "distribution", "status"):
        table.add_column(heading, overflow="fold")
    table.add_column("provides", ratio=1)
    for plugin in found:
        says = plugin.error or "\n".join(plugin.provides)
        cells = (plugin.name, f"{plugin.distribution} {plugin.version}".strip(), plugin.status)
        table.add_row(*(Text(printable(cell)) for cell in cells), Text(printable(says, keep_lines=True)))
    stdout().print(table)


@app.command(name="help")
def show_help(
    topic: Annotated[
        str | None, typer.Argument(metavar="TOPIC", help="A topic, a public name or a kind; nothing gives an overview.")
    ] = None,
) -> None:
    """Show help about the Python package: topics, classes, functions, methods and kinds."""
    write_text(kayak.help(topic))
