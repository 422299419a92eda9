"""kill -9 of the worker in every step of a round: the same round is finished, and only once."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlmodel import col, func, select

from reward.training.trainer_process import child_environment
from storage.blobs import verify
from storage.engine import build_engine, reading
from storage.settings import Settings
from storage.tables import Judgment, Policy, PolicyStatus, Round, RoundState

CHILD = Path(__file__).with_name("dying_child.py")
WORKER = """
import sys
from reward.running.worker import run
from storage.settings import load_settings
run(load_settings(), once=True, child_command=sys.argv[1:] or None)
"""
DEATHS = [
    ("queued", "after"),
    ("snapshot", "after"),
    ("sft", "after"),
    ("reward", "midway"),
    ("reward", "writing"),
    ("reward", "after"),
    ("ppo", "midway"),
    ("ppo", "writing"),
    ("ppo", "after"),
    ("evaluate", "midway"),
    ("evaluate", "after"),
    ("publish", "after"),
]


def _run_worker(settings: Settings, *child: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", WORKER, *child],
        env=child_environment(settings),
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    ).returncode


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "deaths",
    [
        pytest.param([DEATHS[4]], id="one"),
        pytest.param(DEATHS, id="all", marks=pytest.mark.slow),
    ],
)
def test_a_worker_killed_in_every_step_makes_one_round(
    judged: Settings, deaths: list[tuple[str, str]]
) -> None:
    engine = build_engine(judged.url)
    with reading(engine) as session:
        judgments = session.exec(select(func.count()).select_from(Judgment)).one()
    for step, instant in deaths:
        code = _run_worker(judged, sys.executable, str(CHILD), step, instant)
        assert code == -9, f"the worker was to be killed in {step}, {instant}"
        with reading(engine) as session:
            one = session.exec(select(Round)).one()
        assert one.state is RoundState(step), "what was not committed is done again"

    assert _run_worker(judged) == 0

    with reading(engine) as session:
        one = session.exec(select(Round)).one()
        live = session.exec(select(Policy).where(Policy.status == PolicyStatus.LIVE)).one()
        versions = session.exec(select(Policy.version).order_by(col(Policy.version))).all()
        assert session.exec(select(func.count()).select_from(Judgment)).one() == judgments
    assert one.state is RoundState.DONE
    assert (live.version, live.round_id) == (2, one.id)
    assert list(versions) == [1, 2]
    verify(judged.home, live.checkpoint_uri)
