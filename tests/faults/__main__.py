"""Break everything on purpose and print what came of it.

    python -m tests.faults                      the whole suite, 50 rounds of kills
    python -m tests.faults --rounds 8 --seed 2  a shorter one, other moments
    python -m tests.faults --minutes 15         as many rounds as there is time for
    python -m tests.faults --docs               also put the table into docs/operations.md

Arguments that are not known here go to pytest (`-k disk`, `-x`).
"""

import argparse
import os
import sys
from pathlib import Path

import pytest

from benchmarks import readme
from tests.faults.table import HEAD, Table

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "operations.md"


def main() -> int:
    """Run the suite, print its table; return pytest's exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=50, help="of the run with kills")
    parser.add_argument(
        "--minutes",
        type=float,
        help="end the rounds of each database then; how many they were is in the table",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the moments and of what is killed")
    parser.add_argument("--docs", action="store_true", help="put the table into docs")
    options, more = parser.parse_known_args()
    os.environ["RANKLOOP_FAULT_ROUNDS"] = str(options.rounds)
    os.environ["RANKLOOP_FAULT_SEED"] = str(options.seed)
    if options.minutes is not None:
        os.environ["RANKLOOP_FAULT_MINUTES"] = str(options.minutes)
    table = Table()
    code = int(pytest.main([str(HERE), "-p", "no:cacheprovider", *more], plugins=[table]))
    text = "\n".join([f"Seed {options.seed}.", "", *HEAD, *table.lines])
    print(f"\n{text}")  # noqa: T201
    if options.docs and code == 0:
        readme.put("faults", text, file=DOCS)
    return code


if __name__ == "__main__":
    sys.exit(main())
