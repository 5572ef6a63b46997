"""Time `import kayak` beside `import numpy`, interleaved, each in a fresh interpreter.

Run it with the Python that has kayak-core installed:

    python benchmarks/import_cost.py --runs 15
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

STATEMENTS = {
    "nothing": "pass",
    "import numpy": "import numpy",
    "import kayak": "import kayak",
    "import kayak, first search": (
        "import kayak\n"
        "index = kayak.documents(['a'], [[[1.0, 0.0]]]).pack()\n"
        "kayak.search(kayak.query([[1.0, 0.0]]), index, k=1)"
    ),
}
CLOCK = "import time\nstart = time.perf_counter()\n{0}\nprint((time.perf_counter() - start) * 1e3)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15, help="fresh interpreters for each statement")
    parser.add_argument("--json", type=Path, help="also write the medians, in milliseconds, to this file")
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(arguments.runs + 1):  # the first round warms the file cache and is dropped
        for name, statement in STATEMENTS.items():
            command = [sys.executable, "-c", CLOCK.format(statement)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            times[name].append(float(done.stdout))
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:30} {value:8.1f} ms")
    allowed = 1.5 * medians["import numpy"] + 60
    print(f"allowed for `import kayak`: 1.5 × numpy + 60 ms = {allowed:.1f} ms")
    if arguments.json:
        arguments.json.write_text(json.dumps(medians, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
