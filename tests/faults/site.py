"""A whole installation that may be broken: web server, workers and database, each started again.

A process that ends is started again a moment later, as systemd or Kubernetes would do.
"""

import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from sqlalchemy import Engine

from benchmarks.labeling_invariants import unfinished
from labeling.accounts import create_account
from labeling.imports.prompts import add_starter_prompts
from labeling.keys import key_of
from labeling.policies import create_first_policy
from labeling.projects import create_project
from reward.training.trainer_process import child_environment
from storage.engine import build_engine, reading, writing
from storage.migrate import upgrade
from storage.settings import Settings, load_settings
from storage.tables import Role
from tests.faults.told import PASSWORD
from tests.postgres_cluster import free_port

ROOT = Path(__file__).parents[2]
SERVES_WITHIN = 30.0  # seconds after a fault
AGAIN_AFTER = 0.3  # seconds until a process that ended is started again
SERVE = [sys.executable, "-m", "ui.cli", "serve"]
# `rankloop worker`, but for the pause after a crash, which is made for faults that are rare.
WORK = [
    sys.executable,
    "-c",
    "from reward.running.worker import run; from storage.settings import load_settings; "
    "run(load_settings(), restart_seconds=0.2)",
]
# As small as a round can be and still be one: a gate that random weights pass, two iterations.
TRAINING: dict[str, dict[str, object]] = {
    "backbone": {"top_layers": 1, "rank": 2},
    "sampling": {"max_new_tokens": 8},
    "generation": {"chunk_tasks": 4, "low_water": 4, "resamples": 1},
    "reward": {"epochs": 1, "heads": 2, "max_steps": 4, "min_comparisons": 1, "folds": 2,
               "normalise_prompts": 2, "newest_rankings": 40, "progress_seconds": 0.1},
    "ppo": {"iterations": 2, "prompts_per_iteration": 4, "minibatches": 1, "epochs": 1,
            "value_epochs": 1, "max_prompt_tokens": 600},
    "evaluation": {"prompts": 2, "samples": 1, "baseline_prompts": 2, "heldout_tokens": 100},
    "gate": {"min_accuracy": -1.0, "min_win_rate": -1.0, "min_length_ratio": 0.0,
             "max_length_ratio": 1e9, "max_identical": 1.0, "min_second_win_rate": -1.0,
             "min_distinct_ratio": 0.0, "max_repetition_rise": 1.0, "max_refusal_rise": 1.0,
             "max_perplexity_ratio": 1e9, "min_pairs": 1},
}  # fmt: skip


def small_settings(
    home: Path, model: Path, database_url: str | None = None, **more: object
) -> Settings:
    """Return settings of a loop whose rounds take seconds."""
    given: dict[str, object] = {
        "home": home,
        "database_url": database_url,
        "model": str(model),
        "system_prompt": "",
        "completions_per_task": 3,
        "overlap": 1,
        "pool_tasks": 16,
        "judgments_per_round": 4,
        "assignment_minutes": 0.5,
        "worker_lease_seconds": 6.0,
        "worker_poll_seconds": 0.3,
        "device": "cpu",
        "threads": 1,
        "report_to": "none",
        "host": "127.0.0.1",
        "port": free_port(),
        "training": TRAINING,
    }
    return load_settings(**{**given, **more})


def set_up(settings: Settings, annotators: int) -> list[str]:
    """Make the project in an empty database; return the annotators' names."""
    settings.home.mkdir(parents=True, exist_ok=True)
    engine = build_engine(settings.url)
    upgrade(engine)
    names = [f"ann-{number}" for number in range(annotators)]
    with writing(engine) as session:
        project = create_project(session, name=settings.project, settings=settings)
        add_starter_prompts(session, project=project, heldout_share=0.2)
        create_first_policy(
            session,
            project_id=key_of(project),
            name="tiny",
            checkpoint_uri=settings.model,
        )
        for name in names:
            create_account(session, name=name, role=Role.ANNOTATOR, password=PASSWORD)
    engine.dispose()
    return names


class Site:
    """Web server and workers over one home; `with` starts them and ends them."""

    def __init__(
        self, settings: Settings, *, workers: int = 1, logs: Path | None = None, **environment: str
    ) -> None:
        """Nothing is started yet; `environment` is added to that of every process.

        What they print goes into the folder `logs`, beside the home where it is not named.
        """
        self.settings = settings
        self.logs = logs or settings.home.parent
        self.environment = child_environment(settings) | {"PYTHONPATH": str(ROOT)} | environment
        self.engine: Engine = build_engine(settings.url)
        self.url = f"http://127.0.0.1:{settings.port}"
        self.wanted = ["web", *(f"worker-{number}" for number in range(workers))]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.starts: dict[str, int] = {}
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._supervisor = threading.Thread(target=self._supervise)

    def __enter__(self) -> "Site":
        self._supervisor.start()
        self.seconds_until_ready(4 * SERVES_WITHIN)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.engine.dispose()

    def stop(self) -> None:
        """End every process, and start none again."""
        self._over.set()
        self._supervisor.join()
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kill(self, name: str) -> None:
        """Kill a process with -9."""
        self.processes[name].kill()
        self.processes[name].wait()

    def pause(self, *names: str) -> None:
        """End processes; they are not started again before `resume`."""
        with self._lock:
            for name in names:
                self.wanted.remove(name)
                process = self.processes.pop(name)
                process.terminate()
                process.wait(60)

    def resume(self, *names: str) -> None:
        """Let processes run again."""
        with self._lock:
            self.wanted += names

    def child(self) -> psutil.Process | None:
        """Return the process that trains, if there is one."""
        for name in [each for each in self.processes if each.startswith("worker")]:
            with suppress(psutil.Error):
                for child in psutil.Process(self.processes[name].pid).children(recursive=True):
                    if "reward.running.work" in child.cmdline():
                        return child
        return None

    def seconds_until_ready(self, limit: float = SERVES_WITHIN) -> float:
        """Return the seconds until the pages and their database answer; fail after `limit`."""
        began = time.monotonic()
        while (waited := time.monotonic() - began) < limit:
            if _answers(f"{self.url}/readyz") and _answers(f"{self.url}/login"):
                return waited
            time.sleep(0.1)
        raise AssertionError(f"The app did not serve within {limit:.0f} s.")

    def until(self, holds: Callable[[], object], what: str, limit: float = 240.0) -> None:
        """Wait until something holds; fail, with the worker's last lines, after `limit` seconds."""
        end = time.monotonic() + limit
        while not holds():
            if time.monotonic() > end:
                raise AssertionError(f"It did not come to this: {what}.\n{self.last_lines()}")
            time.sleep(0.2)

    def last_lines(self, count: int = 30) -> str:
        """Return the end of what the processes said."""
        texts = [self.log(name).read_text(errors="replace") for name in self.starts]
        return "\n".join("\n".join(each.splitlines()[-count:]) for each in texts)

    def log(self, name: str) -> Path:
        """Return the file with all that the process has printed."""
        return self.logs / f"{name}.out"

    def open_tasks(self) -> list[str]:
        """Return the tasks that want more judgments."""
        with reading(self.engine) as session:
            return unfinished(session)

    def _supervise(self) -> None:
        while not self._over.wait(AGAIN_AFTER):
            with self._lock:
                for name in self.wanted:
                    process = self.processes.get(name)
                    if process is None or process.poll() is not None:
                        self._start(name)

    def _start(self, name: str) -> None:
        command = SERVE if name == "web" else WORK
        with self.log(name).open("ab") as output:
            self.processes[name] = subprocess.Popen(
                command,
                env={**os.environ, **self.environment},
                cwd=self.logs,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.starts[name] = self.starts.get(name, 0) + 1


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
