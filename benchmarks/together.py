"""The trainer beside the web server on the same cores: what each loses by the other.

    python -m benchmarks.together --model FOLDER

The trainer is a child as the worker starts it (threads, priority, wait policy), and makes the same
PPO iteration again and again; the server runs as people run it. What a page loses is measured in a
browser on the same machine that submits without a pause to think. What training loses is measured
beside a team that submits at people's pace from elsewhere, and beside that browser, which takes its
own share of the cores.
"""

import argparse
import json
import logging
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page

from benchmarks import readme
from benchmarks.annotators_at_work import Team, at_work
from benchmarks.pages import Server, fill, percentile, ranking_page, submit
from benchmarks.peers.paced_training import GO, LOG, READY
from benchmarks.ppo_against_trl import DOCS
from reward.training.trainer_process import TrainerProcess, child_environment, describe_exit
from storage.settings import load_settings

SPARE_TASKS = 300  # at most so many are submitted while the trainer trains
STARTING_SECONDS = 600  # of loading the model and the first iteration


class Trainer:
    """The trainer's child: it iterates between `resume` and `pause`."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        """Start it and wait until it has warmed up."""
        self.folder = folder
        settings = load_settings(home=folder / "home", threads=options.threads)
        log = logging.getLogger("benchmarks.together")
        command = [sys.executable, "-m", "benchmarks.peers.paced_training"]
        command += ["--model", str(options.model), "--folder", str(folder)]
        command += ["--prompts", str(options.prompts), "--new-tokens", str(options.new_tokens)]
        command += ["--top-layers", str(options.top_layers)]
        self.process = TrainerProcess(command, environment=child_environment(settings), log=log)
        began = time.monotonic()
        while not (folder / READY).exists():
            self.check()
            if time.monotonic() - began > STARTING_SECONDS:
                raise SystemExit("The trainer made no iteration within ten minutes.")
            time.sleep(0.1)

    def check(self) -> None:
        """End the benchmark where the trainer ended."""
        code = self.process.poll()
        if code is not None:
            raise SystemExit(
                f"The trainer ended ({describe_exit(code)}): {self.process.last_error}"
            )

    @contextmanager
    def training(self) -> Iterator[None]:
        """Let it iterate inside the block; the iteration under way at its end is finished."""
        (self.folder / GO).touch()
        try:
            yield
        finally:
            (self.folder / GO).unlink()

    def seconds(self, since: float, until: float) -> list[float]:
        """Return what each iteration took that lay wholly between two times."""
        log = self.folder / LOG
        rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [
            row["ended"] - row["began"]
            for row in rows
            if since <= row["began"] and row["ended"] <= until
        ]

    def iterate(self, count: int) -> list[float]:
        """Return the seconds of `count` iterations with nothing beside them."""
        began, found = time.monotonic(), list[float]()
        with self.training():
            while len(found) < count:
                self.check()
                time.sleep(0.1)
                found = self.seconds(began, time.monotonic())
        self.wait_until_idle()
        return found

    def wait_until_idle(self) -> None:
        """Wait until the iteration that is under way is over: no processor time is used."""
        import psutil

        process = psutil.Process(self.process.pid)
        used = -1.0
        while sum(process.cpu_times()[:2]) - used > 0.05:
            self.check()
            used = sum(process.cpu_times()[:2])
            time.sleep(0.5)


@dataclass(frozen=True)
class Found:
    """Milliseconds of submits and seconds of iterations, each alone and beside the other."""

    idle: list[float]
    busy: list[float]
    alone: list[float]
    beside_team: list[float]
    beside_browser: list[float]
    team: Team


def main() -> None:
    """Measure, print the table, and put it into the documentation if wanted."""
    options = _options()
    text = _table(measure(options), options)
    print(text)
    if options.docs:
        readme.put("together", text, file=DOCS)


def measure(options: argparse.Namespace) -> Found:
    """Measure the trainer alone, the pages alone, both, a team, and the trainer alone once more."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder / "home", 2 * options.submits + SPARE_TASKS)
        trainer = Trainer(folder, options)
        try:
            alone = trainer.iterate(options.iterations)
            server = Server(folder / "home")
            try:
                with ranking_page(server) as page:
                    idle = [submit(page) for _ in range(options.submits)]
                    busy, beside_browser = _both(trainer, page, options)
            finally:
                server.stop()
            trainer.wait_until_idle()
            with at_work(folder / "team", annotators=options.annotators, pause=options.pause,
                         tasks=options.team_tasks) as team:  # fmt: skip
                beside_team = trainer.iterate(options.iterations)
            # Before and after, so that a machine that grows slower blames neither.
            alone += trainer.iterate(options.iterations)
        finally:
            trainer.process.end()
    return Found(idle, busy, alone, beside_team, beside_browser, team)


def _both(
    trainer: Trainer, page: Page, options: argparse.Namespace
) -> tuple[list[float], list[float]]:
    began, busy, beside = time.monotonic(), list[float](), list[float]()
    most = options.submits + SPARE_TASKS - 2
    with trainer.training():
        while len(busy) < options.submits or len(beside) < options.iterations:
            if len(busy) == most:
                if beside:
                    break
                raise SystemExit("An iteration takes longer than all submits; lower --prompts.")
            trainer.check()
            busy.append(submit(page))
            beside = trainer.seconds(began, time.monotonic())
    return busy, beside


def _table(found: Found, options: argparse.Namespace) -> str:
    idle, busy = percentile(found.idle, 0.95), percentile(found.busy, 0.95)
    middle = statistics.median(found.idle), statistics.median(found.busy)
    team = found.team
    lines = [
        f"A PPO iteration of {options.prompts} completions of {options.new_tokens} tokens, "
        f"{len(found.idle)} submits while the trainer waits and {len(found.busy)} while it trains. "
        f"The team: {options.annotators} annotators, a submit each {options.pause:g} s, "
        f"{team.submits} in all; the server took {team.server_cores:.2f} cores, those who play the "
        f"team {team.player_cores:.2f}.",
        "",
        "| what | the other waits | the other works | times | wanted |",
        "| --- | --- | --- | --- | --- |",
        f"| submit to next task painted, median | {middle[0]:.0f} ms | {middle[1]:.0f} ms | "
        f"{middle[1] / middle[0]:.2f} | |",
        f"| the same, 95th percentile | {idle:.0f} ms | {busy:.0f} ms | {busy / idle:.2f} | "
        "at most 2 |",
        _iteration_row("beside the team", found.alone, found.beside_team, "at most 1.3"),
        _iteration_row(
            "beside that browser, on the same cores", found.alone, found.beside_browser, ""
        ),
    ]
    return "\n".join(lines)


def _iteration_row(name: str, alone: list[float], beside: list[float], wanted: str) -> str:
    one, other = statistics.median(alone), statistics.median(beside)
    return (
        f"| a PPO iteration {name}, median of {len(alone)} and {len(beside)} | {one:.1f} s "
        f"| {other:.1f} s | {other / one:.2f} | {wanted} |"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.together",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of the language model")
    parser.add_argument("--submits", type=int, default=60, help="of each part, at least")
    parser.add_argument("--iterations", type=int, default=3, help="of each part, at least")
    parser.add_argument("--prompts", type=int, default=16, help="completions of an iteration")
    parser.add_argument("--new-tokens", type=int, default=48)
    parser.add_argument("--top-layers", type=int, default=8)
    parser.add_argument("--annotators", type=int, default=20, help="of the team")
    parser.add_argument("--pause", type=float, default=10.0, help="seconds between one's submits")
    parser.add_argument("--team-tasks", type=int, default=1500)
    parser.add_argument("--threads", type=int, default=0, help="of the trainer; 0: all cores")
    parser.add_argument("--docs", action="store_true", help="put the table into docs")
    options = parser.parse_args()
    options.model = options.model.absolute()
    return options


if __name__ == "__main__":
    main()
