"""The picture of what `candidates.py` measured: recall against latency, size, and cost against documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from candidate_measures import MOJO, NUMPY, Figures
from kayak.plotting import INK, PALETTE, new_figure, save_figure, tidy

BLUE, ORANGE, GREEN, PURPLE, _, GREY = PALETTE[:6]
OURS = ((MOJO, "centroids, Mojo", ORANGE, "o"), (NUMPY, "centroids, NumPy", BLUE, "s"))
PEERS = (
    ("fast-plaid", "fast-plaid", GREY, "^"),
    ("PyLate, fast-plaid", "PyLate over fast-plaid", GREEN, "D"),
    ("PyLate, Stanford", "PyLate, Stanford's", PURPLE, "v"),
)


def octets(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


def picture(parts: Figures, path: Path) -> None:
    """Draw recall against latency, bytes, and cost against size."""
    figure = new_figure(8.4, 8.2)
    panels = figure.subplot_mosaic([["recall", "recall"], ["bytes", "cost"]], height_ratios=[1.15, 1])
    draw_recall(panels["recall"], parts)
    draw_bytes(panels["bytes"], parts)
    if "simulation" in parts.get("scale", {}):
        draw_cost(panels["cost"], parts["scale"])
    for axes in panels.values():
        tidy(axes)
    save_figure(figure, path)


def draw_recall(axes: Any, parts: Figures) -> None:
    first = parts["first"]
    series = [(*look, first["rows"].get(backend, [])) for backend, *look in OURS]
    series += [(*look, parts.get("peers", {"rows": {}})["rows"].get(engine, [])) for engine, *look in PEERS]
    for label, colour, marker, rows in series:
        if rows:
            times, recalls = [row["p50_ms"] for row in rows], [row["recall"] for row in rows]
            axes.scatter(times, recalls, s=30, color=colour, marker=marker, label=label, alpha=0.85, linewidths=0)
    for backend, label, colour, _marker in OURS:
        if backend in first["exact"]:
            axes.axvline(first["exact"][backend]["p50_ms"], color=colour, linestyle=":", linewidth=1.3)
            name = label.removeprefix("centroids, ")
            axes.text(
                first["exact"][backend]["p50_ms"] * 0.97,
                0.02,
                f"exact scan, {name}",
                rotation=90,
                fontsize=8,
                color=colour,
                transform=axes.get_xaxis_transform(),
                va="bottom",
                ha="right",
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.set_xlabel("milliseconds a query, median")
    axes.set_ylabel("recall of the exact top 10")
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0, -0.14), ncols=3, columnspacing=1.2)
    title = f"{first['collection']}: {first['documents']:,} documents, {first['vectors'] / 1e6:.2f} million vectors"
    axes.set_title(title, loc="left", fontsize=11, color=INK)


def draw_bytes(axes: Any, parts: Figures) -> None:
    """Show what a search needs, on a disk or in memory."""
    first = parts["first"]
    (built, *_) = first["built"].values()
    bars = [
        ("centroids and lists", built["byte_size"], ORANGE),
        ("+ float16 vectors", built["byte_size"] + first["vector_bytes"] / 2, ORANGE),
        ("+ float32 vectors", built["byte_size"] + first["vector_bytes"], ORANGE),
    ]
    peers = parts.get("peers", {"built": {}})["built"]
    bars += [(label, peers[engine]["byte_size"], colour) for engine, label, colour, _ in PEERS if engine in peers]
    names, sizes, colours = zip(*reversed(bars), strict=True)
    axes.barh(names, [size / 1e6 for size in sizes], color=colours, height=0.62)
    for number, size in enumerate(sizes):
        axes.annotate(octets(size), (size / 1e6, number), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 2e6, max(sizes) / 1e6 * 8)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("megabytes")
    axes.tick_params(axis="y", labelsize=9)
    axes.set_title("Size of what is searched", loc="left", fontsize=11, color=INK)


def draw_cost(axes: Any, scale: Figures) -> None:
    sizes = [row["documents"] for row in scale["rows"]]
    curve = scale["simulation"]["curves"][0]["rows"]
    beyond = [row for row in curve if row["documents"] >= max(sizes) * 0.99]
    for key, simulated, exponent, name, colour in (
        ("scan_p50_ms", "scan_ms", "scan_exponent", "exact scan", GREY),
        ("p50_ms", "query_ms", "exponent", "centroids, window 200", ORANGE),
    ):
        label = f"{name}: size$^{{{scale[exponent]:.2f}}}$"
        axes.plot(sizes, [row[key] for row in scale["rows"]], "o-", color=colour, markersize=4, label=label)
        axes.plot([r["documents"] for r in beyond], [r[simulated] for r in beyond], "--", color=colour, linewidth=1.4)
    axes.plot([], [], "--", color=INK, linewidth=1.4, label="simulated")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(f"documents of {scale['vectors_a_document']} vectors, repeated with noise")
    axes.set_ylabel("milliseconds a query, median")
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    axes.set_title("Cost against size", loc="left", fontsize=11, color=INK)
