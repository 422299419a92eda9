"""`make bench-load`: how many annotators, for how long, printed as tables.

    python -m benchmarks.load            everything, about an hour on 2 cores
    python -m benchmarks.load --quick    smaller and shorter, about 10 minutes
    python -m benchmarks.load --docs     also put the tables into docs

In order: 300 annotators on one process, on SQLite and on PostgreSQL; 1,000 on 3 replicas behind
nginx with PostgreSQL; a day's work in 20 minutes, on both. All of it is on this machine, the
annotators too, so nothing else should run on it meanwhile.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PARTS = {
    "labeling_load": "300 annotators on one process",
    "replica_load": "1,000 annotators on 3 replicas behind nginx",
    "soak": "A day's work in 20 minutes",
}
WHOLE = {"labeling_load": [], "replica_load": [], "soak": ["--databases", "SQLite", "PostgreSQL"]}
QUICK = {
    "labeling_load": ["--annotators", "50", "--seconds", "20", "--tasks", "1500"],
    "replica_load": ["--annotators", "90", "--seconds", "30", "--pause", "20", "--tasks", "500"],
    "soak": ["--minutes", "3", "--annotators", "30"],
}


def main() -> None:
    """Run each part in a process of its own; end with 1 where one failed."""
    options = _options()
    if os.getloadavg()[0] > 1:
        busy = f"The machine is busy with other work (load {os.getloadavg()[0]:.1f})"
        print(f"{busy}: times will be too long.", flush=True)
    failed = [title for module, title in PARTS.items() if not _run(module, title, options)]
    if failed:
        raise SystemExit(f"Failed, with the error above: {'; '.join(failed)}.")


def _run(module: str, title: str, options: argparse.Namespace) -> bool:
    print(f"\n{title}\n", flush=True)
    arguments = list(QUICK[module] if options.quick else WHOLE[module])
    arguments += ["--docs"] if options.docs else []
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="smaller and shorter")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
