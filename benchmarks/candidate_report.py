"""The picture and the tables of the page on centroid interaction, from what `candidates.py` measured.

    python benchmarks/candidate_report.py FIGURES.json [--picture FILE] [--page FILE]

A table of the page stands between `<!-- candidates: NAME, … -->` and `<!-- end -->`, and is replaced; tables whose part
the figures lack stay as they are. Without `--page`, prints the tables.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from candidate_comparison import NAMES, comparisons
from candidate_measures import Figures
from candidate_picture import octets, picture

SHOWN = ((8, 100), (16, 100), (16, 150), (16, 200), (16, 400), (32, 400))
SHOWN_SIZES = (10**6, 10**7, 10**8)
PLACE = re.compile(r"(<!-- candidates: (\w+)[^>]*-->\n).*?(<!-- end -->)", re.DOTALL)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def share(value: float) -> str:
    return "1" if value == 1 else f"{value:.3f}".removeprefix("0")


def milliseconds(value: float) -> str:
    return f"{value:.1f} ms" if value < 1000 else duration(value / 1e3)


def duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.{0 if seconds >= 10 * size else 1}f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def first_table(parts: Figures) -> str:
    return _collection_table(parts["first"], times=True)


def together_table(parts: Figures) -> str:
    return _collection_table(parts["together"], times=False)


def _collection_table(part: Figures, *, times: bool) -> str:
    collections = list(next(iter(part["exact"].values()))["ndcg"])
    rows = []
    for backend, scan in part["exact"].items():
        shown = [row for row in part["rows"].get(backend, ()) if (row["n_probe"], row["candidate_k"]) in SHOWN]
        for name, row in (
            (f"exact scan, {NAMES[backend]}", scan),
            *((f"`n_probe` {r['n_probe']}, `candidate_k` {r['candidate_k']}, {NAMES[backend]}", r) for r in shown),
        ):
            quality = [f"{row['ndcg'][each]:.4f}".removeprefix("0") for each in collections]
            rows.append([name, share(row["recall"]), *quality, *([milliseconds(row["p50_ms"])] if times else [])])
    headings = [f"nDCG@10, {each}" for each in collections] if len(collections) > 1 else ["nDCG@10"]
    return table(["", "recall", *headings, *(["median"] if times else [])], rows)


def counts_table(parts: Figures) -> str:
    rows = [
        [
            f"{row['centroids']:,}",
            f"{row['postings'] / parts['first']['documents']:.0f}",
            duration(row["build_seconds"]),
            share(row["recall"]),
            milliseconds(row["p50_ms"]),
        ]
        for row in parts["first"]["counts"]
    ]
    return table(["centroids", "postings a document", "build", "recall", "median"], rows)


def peers_table(parts: Figures) -> str:
    rows = []
    for built, settings in _engines(parts):
        first = [duration(built["build_seconds"]), octets(built["byte_size"])]
        for row in settings:
            rows.append([row["name"].replace("mojo_exact_cpu", "Mojo").replace("numpy_reference", "NumPy")])
            rows[-1] += [share(row["recall"]), milliseconds(row["p50_ms"]), str(row["queries"]), *first]
            first = ["", ""]
    return table(["", "recall", "median", "queries", "build", "bytes"], rows)


def _engines(parts: Figures) -> list[tuple[Figures, list[Figures]]]:
    """Ours, with the vectors that it needs besides, and the peers."""
    first = parts["first"]
    found = []
    for backend, rows in first["rows"].items():
        built = first["built"][backend]
        total = built | {"byte_size": built["byte_size"] + first["vector_bytes"]}
        found.append((total, [row for row in rows if (row["n_probe"], row["candidate_k"]) in SHOWN]))
    peers = parts["peers"]
    for engine, rows in peers["rows"].items():
        found.append((peers["built"].get(engine) or peers["built"]["fast-plaid"], rows))
    return found


def ratios_table(parts: Figures) -> str:
    rows = []
    for found in comparisons(parts):
        ratio = "not reached" if found.ratio is None else f"{found.ratio:.1f} ×"
        ours = "" if found.ours is None else f"{share(found.ours.recall)} in {milliseconds(found.ours.milliseconds)}"
        best = f"{share(found.best.recall)} in {milliseconds(found.best.milliseconds)}"
        rows.append([f"{found.peer}, against {found.backend}", best, ours, ratio, f"{found.build:.1f} ×"])
    return table(["", "its best recall", "ours at no less", "faster", "built faster"], rows)


def cost_table(parts: Figures) -> str:
    rows = [
        [
            f"10{'⁶⁷⁸'[SHOWN_SIZES.index(row['documents'])]} × {curve['vectors_a_document']:g}",
            f"{row['centroids']:,}",
            octets(row["structure_bytes"]),
            octets(row["vector_bytes"]),
            f"*{milliseconds(row['query_ms'])}*",
            f"*{milliseconds(row['scan_ms'])}*",
            f"*{duration(row['build_seconds'])}*",
        ]
        for curve in parts["scale"]["simulation"]["curves"]
        for row in curve["rows"]
        if row["documents"] in SHOWN_SIZES
    ]
    return table(
        ["documents × vectors", "centroids", "lists at most", "vectors, float32", "query", "exact scan", "build"], rows
    )


def fit_table(parts: Figures) -> str:
    held_out = parts["scale"]["simulation"]["held_out"]
    rows = []
    for what, show in (("query", milliseconds), ("build", duration)):
        found = held_out[what]
        if found:
            rows.append([what, show(found["measured"]), show(found["predicted"]), f"{found['error']:+.0%}"])
    return table([f"{held_out['documents']:,} documents", "measured", "predicted without it", "error"], rows)


def scale_table(parts: Figures) -> str:
    scale = parts["scale"]
    rows = [
        [
            f"{row['documents']:,}",
            f"{row['centroids']:,}",
            duration(row["build_seconds"]),
            milliseconds(row["p50_ms"]),
            milliseconds(row["scan_p50_ms"]),
        ]
        for row in scale["rows"]
    ]
    exponents = [f"{scale[key]:.2f}" for key in ("build_exponent", "exponent", "scan_exponent")]
    return table(["documents", "centroids", "build", "query", "exact scan"], [*rows, ["exponent", "", *exponents]])


def loads_table(parts: Figures) -> str:
    rows = [
        [name, part["started"][:10], " and ".join(f"{load:.1f}" for load in part["load"])]
        for name, part in parts.items()
    ]
    return table(["part", "started", "load average before and after"], rows)


def ready(parts: Figures) -> set[str]:
    """Return the parts, and of the first one the numbers of centroids, of which there is something to show."""
    last_key = {"first": "rows", "together": "rows", "peers": "rows", "scale": "simulation"}
    found = {name for name, part in parts.items() if part.get(last_key[name])}
    return found | {"counts"} if parts.get("first", {}).get("counts") else found


TABLES: dict[str, tuple[Callable[[Figures], str], set[str]]] = {
    "first": (first_table, {"first"}),
    "counts": (counts_table, {"counts"}),
    "together": (together_table, {"together"}),
    "peers": (peers_table, {"first", "peers"}),
    "ratios": (ratios_table, {"first", "peers"}),
    "scale": (scale_table, {"scale"}),
    "fit": (fit_table, {"scale"}),
    "cost": (cost_table, {"scale"}),
    "loads": (loads_table, set()),
}


def fill(page: str, parts: Figures) -> str:
    """Replace the tables of a page that the figures have the parts for."""

    def replaced(match: re.Match[str]) -> str:
        make, needed = TABLES[match[2]]
        return match[1] + make(parts) + match[3] if needed <= ready(parts) else match[0]

    return PLACE.sub(replaced, page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", type=Path, help="what `candidates.py --json` wrote")
    parser.add_argument("--picture", type=Path, help="draw the picture into this file")
    parser.add_argument("--page", type=Path, help="replace the tables of this page")
    arguments = parser.parse_args()
    parts = json.loads(arguments.figures.read_text(encoding="utf-8"))
    if arguments.picture:
        if "first" not in ready(parts):
            parser.error(f"{arguments.figures} lacks the part `first` of candidates.py, which the picture needs")
        picture(parts, arguments.picture)
    if arguments.page:
        page = arguments.page.read_text(encoding="utf-8")
        arguments.page.write_text(fill(page, parts), encoding="utf-8")
    else:
        for name, (make, needed) in TABLES.items():
            if needed <= ready(parts):
                print(f"{name}\n\n{make(parts)}")


if __name__ == "__main__":
    main()
