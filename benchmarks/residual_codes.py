"""Windows scored from residual codes: their size, what they lose, and what they cost beside float32 vectors.

    python benchmarks/residual_codes.py [--data COLLECTION] [--backend NAME] [--window N] [--queries N] [--json FILE]

A collection encoded by `minilm_tokens.py`, its queries one after the other through plans that differ in stage 2 alone:
exact MaxSim of the window, and codes of 4 and 2 bits without and with exact scores for the best 20 and 50. Recall is
that of the exact scan's top 10. Each query goes through all plans before the next one does, so that the ratios of their
times hold on a busy machine too. Takes some 80 seconds of processor time, building included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

import attrs
import kayak
import kayak_centroids
import minilm_tokens
import numpy as np
from candidate_measures import DEPTH, NUMPY, Collection, recall
from kayak_centroids.numpy_kernels import NumpyCentroidKernels
from kayak_centroids.residuals import ResidualQuantiser
from kayak_centroids.tokens import sample_tokens

BITS = (4, 2)
SAMPLE = 15_000
RESCORED = (None, 20, 50)


@attrs.define
class Row:
    """What one plan found and took.

    Attributes:
        name: names the plan's stage 2.
        plan: the plan.
        hits: document ids, one list a query.
        seconds: of stage 2, one a query.
        bytes_read: of stage 2, one a query.
    """

    name: str
    plan: kayak.SearchPlan
    hits: list[list[str]] = attrs.field(factory=list)
    seconds: list[float] = attrs.field(factory=list)
    bytes_read: list[int] = attrs.field(factory=list)


def rows_of(window: int) -> list[Row]:
    rows = [Row("float32", kayak_centroids.centroid_search_plan(DEPTH, window))]
    for bits in BITS:
        for rescore_k in RESCORED:
            name = f"{bits} bits" + (f", {rescore_k} rescored" if rescore_k else "")
            plan = kayak_centroids.centroid_search_plan(DEPTH, window, residual_bits=bits, rescore_k=rescore_k)
            rows.append(Row(name, plan))
    return rows


def measured(row: Row, collection: Collection, exact: list[list[str]], reference: Row) -> dict[str, Any]:
    ratios = [ours / theirs for ours, theirs in zip(row.seconds, reference.seconds, strict=True)]
    return {
        "name": row.name,
        "score_kind": row.plan.stage2_reference_operator.score_kind,
        "recall": recall(row.hits, exact),
        "ndcg": collection.ndcg(row.hits)[collection.name] if len(row.hits) == len(collection.asked) else None,
        "stage2_ms": statistics.median(row.seconds) * 1e3,
        "stage2_ratio": statistics.median(ratios),
        "stage2_megabytes": statistics.mean(row.bytes_read) / 1e6,
    }


def squared_errors(index: kayak.LateIndex, generator: kayak_centroids.CentroidInteraction, backend: str) -> None:
    """Print the mean squared error of residuals: with our levels, and with quantiles of all components together."""
    structure = generator.prepare(index, kayak.find_executor(backend)).value.structure
    kernels = NumpyCentroidKernels(structure.centroids)
    drawn = sample_tokens(index, 2 * SAMPLE, np.random.default_rng(1))
    known, new = drawn[0::2], drawn[1::2]
    seen, residuals = (part - structure.centroids[kernels.assign(part)[0]] for part in (known, new))
    for bits in BITS:
        quantiser = ResidualQuantiser.trained(bits, structure.centroids, kernels, known)
        levels = np.clip(np.rint((residuals - quantiser.lowest) / quantiser.steps), 0, 2**bits - 1)
        ours = levels * quantiser.steps + quantiser.lowest
        cuts = np.quantile(seen, np.arange(1, 2**bits) / 2**bits)
        theirs = np.quantile(seen, (np.arange(2**bits) + 0.5) / 2**bits)[np.searchsorted(cuts, residuals)]
        even, quantiles = (float(((found - residuals) ** 2).sum(axis=1).mean()) for found in (ours, theirs))
        print(f"{bits} bits: squared error {even:.4f} with equally spaced levels, {quantiles:.4f} with quantiles")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=minilm_tokens.DEFAULT_DATA, help="collection in BEIR layout")
    parser.add_argument("--cache", type=Path, default=minilm_tokens.DEFAULT_CACHE, help="where token vectors are kept")
    parser.add_argument("--backend", default=NUMPY, help="executor (default: %(default)s)")
    parser.add_argument("--window", type=int, default=200, help="candidate_k (default: %(default)s)")
    parser.add_argument("--queries", type=int, help="use only the first N queries; nDCG is then left out")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    backend = arguments.backend
    collection = Collection([arguments.data], arguments.cache)
    index, asked = collection.index, collection.asked[: arguments.queries]
    batch = kayak.query_batch(asked)
    exact = [[hit.doc_id for hit in hits] for hits in kayak.search_batch(batch, index, k=DEPTH, backend=backend)]
    generator = kayak_centroids.centroid_interaction_candidate_generator()
    centroids = kayak_centroids.prepare_centroids(index, generator, backend=backend)
    sizes = [{"name": "float32", "bytes_a_vector": 4 * index.vector_dim, "megabytes": index.vector_byte_size / 1e6}]
    for bits in BITS:
        operator = kayak_centroids.ResidualMaxsim(residual_bits=bits)
        report = kayak_centroids.prepare_codes(index, operator, backend=backend)
        size = {"name": f"{bits} bits", "bytes_a_vector": report.bytes_a_vector, "megabytes": report.byte_size / 1e6}
        sizes.append(size | {"mean_cosine": report.mean_cosine, "build_seconds": report.build_seconds})
    for size in sizes:
        print(
            "  ".join(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{value:10}" for key, value in size.items()
            )
        )
    squared_errors(index, generator, backend)
    rows = rows_of(arguments.window)
    for row in rows:
        kayak.search_with_plan(asked[0], index, row.plan, backend=backend)
    for query in asked:
        for row in rows:
            result = kayak.search_with_plan(query, index, row.plan, backend=backend)
            row.hits.append([hit.doc_id for hit in result.hits])
            row.seconds.append(result.stage2.elapsed_seconds)
            row.bytes_read.append(result.stage2.bytes_read)
    figures = [measured(row, collection, exact, rows[0]) for row in rows]
    for each in figures:
        ndcg = "" if each["ndcg"] is None else f"nDCG {each['ndcg']:.4f}  "
        print(
            f"{each['name']:22} recall {each['recall']:.4f}  {ndcg}stage 2: {each['stage2_ms']:6.2f} ms, "
            f"{each['stage2_ratio']:.2f} of float32, {each['stage2_megabytes']:.2f} MB  {each['score_kind']}"
        )
    result = {
        "backend": backend,
        "window": arguments.window,
        "queries": len(asked),
        "centroids": centroids.centroid_count,
        "sizes": sizes,
        "plans": figures,
        "load": os.getloadavg()[0],
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
