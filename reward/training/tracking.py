"""The curves of training for TensorBoard, trackio, Weights & Biases or MLflow, by `report_to`.

The database keeps the curves of rounds that the pages draw; this is a copy of them, and of the
curves of `rankloop train`, under the names that TRL and summarize-from-feedback use, for people who
have such a tool open. A stage is a run of its own, since each counts its steps from 1. It goes
through accelerate's trackers, and nothing that goes wrong in one reaches the training.
"""

import json
import logging
import math
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from storage.errors import Unavailable

log = logging.getLogger(__name__)

REPORT_TO = ("none", "tensorboard", "trackio", "wandb", "mlflow")
PROJECT = "rankloop"
LOGS = "logs"  # the folder under home, or of what `rankloop train` makes


def check_report_to(report_to: str) -> None:
    """Raise `Unavailable` where the tracker's name or its library is not known here."""
    if report_to not in REPORT_TO:
        raise Unavailable(
            f"Setting report_to is {report_to!r} but must be one of {', '.join(REPORT_TO)}."
        )
    if report_to != "none" and find_spec(report_to) is None:
        raise Unavailable(
            f"Setting report_to is {report_to}, which is not installed; run `pip install "
            f"{report_to}` or set report_to to none."
        )


class Tracker:
    """Writes metrics to one tool; every stage begins its run when it first logs.

    What goes wrong is logged in one sentence, and then nothing more is written.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        report_to: str,
        settings: Mapping[str, Any],
        *,
        shared: Path | None = None,
    ) -> None:
        """Log into `folder`, as runs that begin with `name`; `settings` are stored with each.

        `shared` is where a tool that has one place for all runs keeps it; None: its own default.
        """
        self.name = name
        self.folder = folder
        self.shared = shared
        self.report_to = report_to
        self.settings = flat(settings)
        self._stage = ""
        self._run: Any = None
        self._safely(lambda: check_report_to(report_to))

    def log(self, stage: str, step: int, metrics: Mapping[str, Any]) -> None:
        """Write a step's metrics; those that are no finite number are left out."""
        if self.report_to == "none":
            return
        kept = {
            name: float(value)
            for name, value in metrics.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }
        self._safely(lambda: self._write(stage, step, kept))

    def close(self) -> None:
        """End the run that is open; another stage may still begin one."""
        run, self._run, self._stage = self._run, None, ""
        if run is not None:
            self._safely(run.finish)

    def __enter__(self) -> "Tracker":
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close, whatever happened."""
        self.close()

    def _write(self, stage: str, step: int, metrics: dict[str, float]) -> None:
        if stage != self._stage:
            self.close()
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.shared is not None:
                _keep_within(self.shared)
            self._run = _begin(self.report_to, self.folder, self.name, stage)
            self._stage = stage
            _store_settings(self._run, self.settings)
        self._run.log(metrics, step=step)

    def _safely(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            # What is trained is worth more than its curves in another tool.
            log.warning("The curves of %s are not reported: %s", self.name, error)
            self.report_to, self._run, self._stage = "none", None, ""


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as `section/field` → text, number or truth value."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}/")
        else:
            plain = value is None or isinstance(value, str | int | float)
            found[f"{prefix}{name}"] = value if plain else json.dumps(value, default=str)
    return found


def _keep_within(shared: Path) -> None:
    """Have the tools with one place for all runs write there, unless another place was set."""
    os.environ.setdefault("TRACKIO_DIR", str(shared / "trackio"))
    os.environ.setdefault("MLFLOW_TRACKING_URI", (shared / "mlflow").absolute().as_uri())


def _begin(report_to: str, folder: Path, name: str, stage: str) -> Any:
    # Imported here: the worker of a project that reports to nothing needs none of it.
    from accelerate import PartialState, tracking

    PartialState()  # without it accelerate's own logger refuses to work
    run = f"{name}-{stage}"
    if report_to == "tensorboard":
        begun: Any = tracking.TensorBoardTracker(stage, folder)
    elif report_to == "wandb":
        begun = tracking.WandBTracker(PROJECT, name=run, dir=str(folder))
    elif report_to == "trackio":
        begun = tracking.TrackioTracker(PROJECT, name=run)
    else:
        begun = tracking.MLflowTracker(PROJECT, run_name=run)
    begun.start()
    return begun


def _store_settings(run: Any, settings: Mapping[str, Any]) -> None:
    if run.name == "tensorboard":
        # Its own way makes a second run of them, beside the one with the curves.
        rows = "\n".join(f"| {name} | {value} |" for name, value in settings.items())
        run.log({"settings": f"| setting | value |\n|---|---|\n{rows}"}, step=0)
    else:
        run.store_init_configuration(dict(settings))
