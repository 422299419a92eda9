"""How fast preferences leave, in how much memory, beside Label Studio and Argilla.

python -m benchmarks.export --work DIR          a million pairs, about 10 minutes on 2 cores
python -m benchmarks.export --work DIR --quick  sixty thousand pairs, a minute or two

The peers are installed into virtual environments of their own under `--work`, which is kept; one
that cannot be installed is said. Each is given the same tasks, as our own export in its shape, and
times its export without the start of its process; so do we beside them (check of the snapshot's
hashes and card included), and once more the whole command `rankloop export` with the start of
Python. CPU seconds are what other work on the machine changes least.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks import readme
from benchmarks.export_rows import PAIRS, PROJECT, fill
from benchmarks.measured_process import Measured, rankloop, run_measured
from benchmarks.peers.labeling_tools import LABEL_STUDIO, ToolFailed, install
from storage.engine import build_engine
from storage.migrate import upgrade
from storage.settings import load_settings

ARGILLA = "argilla==2.8.0"
#: Beside the SDK: it imports these without asking for them.
WITH_ARGILLA = ("requests",)
HEAD = [
    "| what | rows | CPU seconds | rows a CPU second | wall seconds | peak MiB |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
]
PEERS = Path(__file__).parent / "peers"


def main() -> None:
    """Measure and print the table."""
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="rankloop-export-", dir=options.work) as folder:
        lines = HEAD + _measured(Path(folder), options)
    text = "\n".join(lines)
    print(text)
    if options.docs:
        readme.put("export", text, file=Path("docs/export-speed.md"))


def _measured(folder: Path, options: argparse.Namespace) -> list[str]:
    home = _home(folder / "large", options.tasks)
    lines = [_snapshot(home, options.tasks)]
    for format_, files, name in (
        ("trl_preference", "jsonl", "TRL preference, JSONL"),
        ("trl_preference", "parquet", "TRL preference, Parquet"),
    ):
        _, row = _export(home, format_, files, name, PAIRS * options.tasks)
        lines.append(row)
    small = _home(folder / "small", options.peer_tasks)
    _snapshot(small, options.peer_tasks)
    for format_, name, peer in (
        ("label_studio", "Label Studio", _label_studio),
        ("argilla", "Argilla", _argilla),
    ):
        out, row = _export(small, format_, "json", f"{name}'s shape, by us", options.peer_tasks)
        lines += [row, _within(small, format_, name), _peer(peer, name, out, options)]
    return lines


def _home(home: Path, tasks: int) -> Path:
    home.mkdir(parents=True)
    engine = build_engine(load_settings(home=home).url)
    upgrade(engine)
    began = perf_counter()
    fill(engine, tasks)
    engine.dispose()
    print(f"{tasks} judged tasks written in {perf_counter() - began:.0f} s.", flush=True)
    return home


def _run(home: Path, *arguments: str) -> tuple[Measured, float]:
    """Run a command; return what it took, and its CPU seconds."""
    command = rankloop("--home", str(home), "--project", PROJECT, *arguments)
    before = getrusage(RUSAGE_CHILDREN)
    done = run_measured(command, os.environ)
    after = getrusage(RUSAGE_CHILDREN)
    if done.code != 0:
        raise SystemExit(f"{' '.join(command)} failed.")
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _snapshot(home: Path, tasks: int) -> str:
    done, cpu = _run(home, "snapshot", "create", "--name", "all")
    return _line("`rankloop snapshot create`, judgments", tasks, done.seconds, cpu, done.peak_mib)


def _export(home: Path, format_: str, files: str, name: str, rows: int) -> tuple[Path, str]:
    out = home / f"{format_}-{files}"
    arguments = ("export", "preferences", "--snapshot", "all", "--format", format_)
    done, cpu = _run(home, *arguments, "--files", files, "--out", str(out))
    return out, _line(name, rows, done.seconds, cpu, done.peak_mib)


def _within(home: Path, format_: str, name: str) -> str:
    script = [sys.executable, "-m", "benchmarks.peers.rankloop_export", str(home), format_]
    done = subprocess.run(
        [*script, str(home / f"{format_}-within")], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.strip().splitlines()[-1])
    label = f"{name}'s shape, by us, without the start of Python"
    return _line(label, found["tasks"], found["seconds"], found["cpu"], found["peak_mib"])


def _peer(peer: Any, name: str, out: Path, options: argparse.Namespace) -> str:
    rows = out.with_name(f"{out.name}-lines.jsonl")
    with rows.open("w", encoding="utf-8") as file:
        for split in ("train", "validation", "test"):
            for row in json.loads((out / f"{split}.json").read_text(encoding="utf-8")):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    try:
        found = peer(options.work, rows, out.with_name(f"{out.name}-theirs.json"))
    except ToolFailed as error:
        return f"| {name} itself: not measured ({' '.join(str(error).split())[:200]}) | | | | | |"
    tasks, peak = found["tasks"], found["peak_mib"]
    lines = [_line(f"{name} itself", tasks, found["seconds"], found["cpu"], peak)]
    if "writing_cpu" in found:
        label = f"of this, {name}'s writing alone"
        lines.append(_line(label, tasks, found["writing_seconds"], found["writing_cpu"], peak))
    return "\n".join(lines)


def _label_studio(work: Path, rows: Path, out: Path) -> dict[str, Any]:
    venv = work / "label-studio"
    install(venv, LABEL_STUDIO)
    data = rows.with_name("label-studio-data")
    data.mkdir()
    quiet = dict.fromkeys(("COLLECT_ANALYTICS", "LATEST_VERSION_CHECK", "DEBUG"), "false")
    environment = quiet | {"LABEL_STUDIO_BASE_DATA_DIR": str(data), "SENTRY_DSN": ""}
    return _told(venv, "label_studio_export.py", rows, out, environment)


def _argilla(work: Path, rows: Path, out: Path) -> dict[str, Any]:
    venv = work / "argilla"
    install(venv, ARGILLA)
    pip = [str(venv / "bin" / "pip"), "install", "--quiet", *WITH_ARGILLA]
    if subprocess.run(pip, capture_output=True, check=False).returncode != 0:
        raise ToolFailed(f"{', '.join(WITH_ARGILLA)} cannot be installed.")
    return _told(venv, "argilla_export.py", rows, out, {})


def _told(
    venv: Path, script: str, rows: Path, out: Path, environment: dict[str, str]
) -> dict[str, Any]:
    done = subprocess.run(
        [str(venv / "bin" / "python"), str(PEERS / script), str(rows), str(out)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ToolFailed(done.stderr.strip()[-800:])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _line(name: str, rows: int, seconds: float, cpu: float, peak_mib: float) -> str:
    speed = rows / cpu
    return f"| {name} | {rows:,} | {cpu:.1f} | {speed:,.0f} | {seconds:.1f} | {peak_mib:.0f} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tasks", type=int, default=166_667, help="tasks, six pairs each")
    parser.add_argument("--peer-tasks", type=int, default=10_000, help="tasks given to the peers")
    parser.add_argument("--quick", action="store_true", help="10,000 and 2,000 tasks")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path.home() / ".cache" / "rankloop-benchmarks",
        help="where the peers are installed (default: %(default)s)",
    )
    parser.add_argument("--docs", action="store_true", help="put the table into the docs")
    options = parser.parse_args()
    options.work = options.work.absolute()
    if options.quick:
        options.tasks, options.peer_tasks = 10_000, 2_000
    return options


if __name__ == "__main__":
    main()
