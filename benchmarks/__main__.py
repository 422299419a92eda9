"""`make bench`: the speeds that the project promises, printed as a table.

python -m benchmarks            everything, about 15 minutes on 2 cores
python -m benchmarks --pages    only what the browser sees, a minute
"""

import argparse
import os
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from benchmarks import pages, readme
from benchmarks.measured_process import rankloop, run_measured
from storage.engine import build_engine, reading
from storage.settings import load_settings
from storage.tables import Judgment, Policy, Round, Task

HEAD = ["| what | measured | wanted | floor |", "| --- | --- | --- | --- |"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pages", action="store_true", help="leave the loop out")
    parser.add_argument("--home", type=Path, help="a home that has a finished round already")
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    lines = HEAD + pages.main()
    if not options.pages:
        lines += loop_lines(options.home)
    text = "\n".join(lines)
    print(text)
    if options.readme:
        readme.put("speed", text)


def loop_lines(home: Path | None) -> list[str]:
    """Return the lines on a round, of `home` if it has one, else of a round made for this."""
    if home is not None:
        return [_round_line(build_engine(load_settings(home=home).url))]
    with TemporaryDirectory() as folder:
        made = Path(folder) / "home"
        environment = {**os.environ, "RANKLOOP_HOME": str(made)}
        simulate = rankloop("simulate", "--annotators", "3", "--judgments", "50")
        for command in (rankloop("init"), simulate):
            if run_measured(command, environment).code != 0:
                raise SystemExit(f"{' '.join(command)} failed.")
        worker = run_measured(rankloop("worker", "--once"), environment)
        if worker.code != 0:
            raise SystemExit("rankloop worker --once failed.")
        return [
            _round_line(build_engine(load_settings(home=made).url)),
            f"| peak memory of the worker, both processes | {worker.peak_mib:.0f} MiB "
            "| under 4096 MiB | weights in fp32: 513 MiB |",
        ]


def _round_line(engine: Engine) -> str:
    with reading(engine) as session:
        minutes = (
            _first_task_of_new_policy(session) - _last_judgment(session)
        ).total_seconds() / 60
    return (
        f"| 50th judgment to the first task of the newer policy | {minutes:.1f} min "
        "| under 10 min | see docs/decisions/0006 |"
    )


def _last_judgment(session: Session) -> datetime:
    """Return when the first round's last judgment was stored."""
    first = session.exec(select(Round).order_by(col(Round.number))).first()
    if first is None or first.judgments == 0:
        raise SystemExit("There is no round with judgments in this home.")
    times = session.exec(select(Judgment.created_at).order_by(col(Judgment.id))).all()
    return times[first.judgments - 1]


def _first_task_of_new_policy(session: Session) -> datetime:
    found = session.exec(
        select(Task.created_at)
        .join(Policy, col(Policy.id) == col(Task.policy_id))
        .where(Policy.version == 2)
        .order_by(col(Task.id))
    ).first()
    if found is None:
        raise SystemExit("The round published no policy; see `rankloop rounds`.")
    return found


if __name__ == "__main__":
    main()
