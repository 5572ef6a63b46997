"""Ratios between the settings that `candidates.py` measured, each over the queries that both answered."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from itertools import chain

import attrs
from candidate_measures import MOJO, NUMPY, Figures

TARGET = 0.99
SAME_RECALL = 0.001
NAMES = {MOJO: "Mojo", NUMPY: "NumPy"}


@attrs.frozen
class Point:
    """What a setting reached over some queries."""

    name: str
    recall: float
    milliseconds: float


def point(row: Figures, every: int | None = None) -> Point:
    """Return what a setting reached over each `every`-th of all queries, a multiple of its own, or over all its own."""
    step = every // row["every"] if every else 1
    return Point(row["name"], statistics.mean(row["recalls"][::step]), statistics.median(row["milliseconds"][::step]))


def fastest(rows: Sequence[Figures], recall: float, every: int | None = None) -> Point | None:
    """Return the fastest setting of at least this recall."""
    enough = [found for found in (point(row, every) for row in rows) if found.recall >= recall]
    return min(enough, key=lambda found: found.milliseconds, default=None)


@attrs.frozen
class Comparison:
    """Ours beside a peer's settings.

    Attributes:
        best: the peer's fastest setting of its best recall, or within a thousandth of it.
        ours: our fastest of no lower recall over the same queries; None where there is none.
        beaten_at: the peer's settings than which none of ours is both faster and of higher recall.
        beats: our settings than which a setting of the peer is at least as fast and of at least that recall.
        build: the peer's time to build over ours.
    """

    peer: str
    backend: str
    best: Point
    ours: Point | None
    beaten_at: tuple[str, ...]
    beats: tuple[str, ...]
    build: float

    @property
    def ratio(self) -> float | None:
        """The peer's time over ours, at its best recall."""
        return self.best.milliseconds / self.ours.milliseconds if self.ours else None


def comparisons(parts: Figures) -> Iterator[Comparison]:
    """Compare each peer with each backend of ours."""
    if not {"first", "peers"} <= set(parts):
        return
    for peer, rows in parts["peers"]["rows"].items():
        for backend, mine in parts["first"]["rows"].items():
            yield _comparison(parts, peer, backend, rows, mine)


def _comparison(
    parts: Figures, peer: str, backend: str, rows: Sequence[Figures], mine: Sequence[Figures]
) -> Comparison:
    top = max(row["recall"] for row in rows)
    # A thousandth of recall is not worth many times the latency: the peer's quicker setting counts.
    best_row = min((row for row in rows if row["recall"] >= top - SAME_RECALL), key=lambda row: row["p50_ms"])
    beaten_at: list[str] = []
    beats: dict[str, None] = {}  # a set that keeps its order
    for row in rows:
        theirs = point(row)
        ours = [point(each, row["every"]) for each in mine]
        if not any(each.recall > theirs.recall and each.milliseconds < theirs.milliseconds for each in ours):
            beaten_at.append(theirs.name)
        for each in ours:
            if theirs.recall >= each.recall and theirs.milliseconds <= each.milliseconds:
                beats[each.name] = None
    # PyLate over fast-plaid searches the index that was built for both.
    built = parts["peers"]["built"].get(peer) or parts["peers"]["built"]["fast-plaid"]
    return Comparison(
        peer,
        NAMES[backend],
        point(best_row),
        fastest(mine, top, best_row["every"]),
        tuple(beaten_at),
        tuple(beats),
        built["build_seconds"] / parts["first"]["built"][backend]["build_seconds"],
    )


def lines(parts: Figures) -> Iterator[str]:
    """Say what the figures show, a line each."""
    return chain(_exact_lines(parts), _peer_lines(parts), _scale_lines(parts))


def _exact_lines(parts: Figures) -> Iterator[str]:
    for name in ("first", "together"):
        for backend, rows in parts.get(name, {}).get("rows", {}).items():
            part = parts[name]
            scan = part["exact"][backend]
            chosen = fastest(rows, TARGET)
            if chosen is None:
                yield f"{part['collection']}, {NAMES[backend]}: no setting reached recall {TARGET}"
                continue
            (row,) = (row for row in rows if row["name"] == chosen.name)
            lost = ", ".join(f"{each} {row['ndcg'][each] - value:+.4f}" for each, value in scan["ndcg"].items())
            yield (
                f"{part['collection']}, {NAMES[backend]}: recall {chosen.recall:.4f} (n_probe {row['n_probe']}, "
                f"candidate_k {row['candidate_k']}) {scan['p50_ms'] / chosen.milliseconds:.1f} × as fast as the exact "
                f"scan; nDCG@10 against exact: {lost}"
            )


def _peer_lines(parts: Figures) -> Iterator[str]:
    for found in comparisons(parts):
        if found.ours is None:
            yield f"{found.peer} against {found.backend}: none of ours reaches its recall {found.best.recall:.4f}"
            continue
        yield (
            f"{found.peer} at its best recall, {found.best.recall:.4f} in {found.best.milliseconds:.1f} ms, against "
            f"{found.backend}, {found.ours.recall:.4f} in {found.ours.milliseconds:.2f} ms: {found.ratio:.1f} ×; "
            f"build {found.build:.1f} ×; ours has a setting with higher recall and lower latency than "
            + (f"each of its settings but {', '.join(found.beaten_at)}" if found.beaten_at else "each of its settings")
            + (f"; it is ahead of {', '.join(found.beats)}" if found.beats else "; it is ahead of none of ours")
        )
    for engine, reason in parts.get("peers", {}).get("stopped", {}).items():
        yield f"{engine} is not complete: {reason}"


def _scale_lines(parts: Figures) -> Iterator[str]:
    scale = parts.get("scale")
    if scale is None or "simulation" not in scale:
        return
    if scale["exponent"] is not None:
        yield (
            f"exponents of cost against documents: query {scale['exponent']:.2f}, scan {scale['scan_exponent']:.2f}, "
            f"build {scale['build_exponent']:.2f}"
        )
    held_out = scale["simulation"]["held_out"]
    for what in ("query", "build"):
        if held_out[what]:
            yield (
                f"model of the {what}, fitted without {held_out['documents']:,} documents: predicts "
                f"{held_out[what]['predicted']:.3g}, measured {held_out[what]['measured']:.3g} "
                f"({held_out[what]['error']:+.0%})"
            )
