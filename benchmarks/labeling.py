"""`make bench-labeling`: the speed and the safety of labeling, printed as tables.

python -m benchmarks.labeling            everything, about 55 minutes on 2 cores
python -m benchmarks.labeling --quick    smaller and shorter, about 15 minutes

In order: 300 annotators at the real server; the first page over a slow network; the next-task query
in a large database, on SQLite and on PostgreSQL; Label Studio and Potato on the same machine; kills
of browsers, server and connections. The peers are installed into virtual environments of their own
under `--work`, which is kept.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.labeling_floors import fsync_floor
from tests.postgres_cluster import find_binaries

ROOT = Path(__file__).parent.parent
QUICK = {
    "labeling_load": ["--annotators", "100", "--seconds", "20", "--tasks", "1500"],
    "first_page": ["--repeats", "1"],
    "labeling_scale": ["--tasks", "50000", "--judgments", "250000"],
    "labeling_peers": ["--annotators", "10", "--seconds", "8", "--turns", "2", "--tasks", "1500"],
    "labeling_faults": ["--annotators", "50", "--judgments", "1000", "--limit", "300"],
}
# A module, with what it is given in any case.
TITLES = {
    "labeling_load": "Annotators at the real server",
    "first_page": "The first page over a slow network",
    "labeling_scale": "The next-task query in a large database, SQLite",
    "labeling_scale --postgres": "The next-task query in a large database, PostgreSQL",
    "labeling_peers": "Beside Label Studio and Potato",
    "labeling_faults": "Browsers, server and connections killed",
}
WITH_DOCS = frozenset({"labeling_load", "first_page", "labeling_peers", "labeling_faults"})


def main() -> None:
    """Run each benchmark in a process of its own; end with 1 where one failed."""
    options = _options()
    if find_binaries() is None:
        raise SystemExit("There is no PostgreSQL; `make test` as root installs it.")
    options.work.mkdir(parents=True, exist_ok=True)
    print(f"One fsync of 4 KiB here: {1000 * fsync_floor(options.work):.1f} ms.", flush=True)
    if os.getloadavg()[0] > 1:
        print(
            f"The machine is busy with other work (load {os.getloadavg()[0]:.1f}): times will be "
            "too long.",
            flush=True,
        )
    failed = [title for command, title in TITLES.items() if not _run(command, title, options)]
    if failed:
        raise SystemExit(f"Failed, with the error above: {'; '.join(failed)}.")


def _run(wanted: str, title: str, options: argparse.Namespace) -> bool:
    print(f"\n{title}\n", flush=True)
    module, *arguments = wanted.split()
    arguments += QUICK[module] if options.quick else []
    if module == "labeling_peers":
        arguments += ["--work", str(options.work)]
    if options.docs and module in WITH_DOCS:
        arguments.append("--docs")
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.labeling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="smaller and shorter")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path.home() / ".cache" / "rankloop-benchmarks",
        help="where the peers are installed (default: %(default)s)",
    )
    parser.add_argument("--docs", action="store_true", help="put the tables into docs")
    options = parser.parse_args()
    options.work = options.work.absolute()
    return options


if __name__ == "__main__":
    main()
