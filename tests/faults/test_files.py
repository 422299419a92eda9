"""Files that rot: a byte of a checkpoint is another one, the end of a Parquet file is gone."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlmodel import col, select

from storage.engine import reading
from storage.tables import Round, RoundState, Snapshot
from tests.faults.conftest import Tell
from tests.faults.loop import (
    came_through,
    done_rounds,
    ended_rounds,
    live_checkpoint,
    until_another_judgment,
    until_another_round,
)
from tests.faults.site import Site, set_up, small_settings
from tests.faults.told import Team

ROOT = Path(__file__).parents[2]
CHILD = ROOT / "tests" / "reward" / "dying_child.py"
DYING = """
import sys
from reward.running.worker import run
from storage.settings import load_settings
run(load_settings(), once=True, child_command=sys.argv[1:])
"""

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]


def test_a_corrupted_checkpoint_is_named_and_never_used(
    tiny_model: Path, tmp_path: Path, tell: Tell
) -> None:
    settings = small_settings(tmp_path / "home", tiny_model)
    names = set_up(settings, annotators=3)
    with Site(settings) as site, Team(site, names, pause=1.0, seed=1) as team:
        until_another_round(site)
        site.pause("worker-0")
        file = max(live_checkpoint(site).rglob("*.safetensors"), key=lambda one: one.stat().st_size)
        whole = file.read_bytes()
        middle = len(whole) // 2
        file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        done = done_rounds(site)
        site.log("worker-0").write_text("")
        site.resume("worker-0")
        site.until(
            lambda: f"{file.name} is not the one" in site.log("worker-0").read_text(),
            "the worker names the file",
        )
        assert done_rounds(site) == done
        ready = site.seconds_until_ready()
        site.pause("worker-0")
        file.write_bytes(whole)
        site.resume("worker-0")
        until_another_round(site)
        row = came_through(
            site,
            team,
            fault="one bit of the live policy's checkpoint",
            times="once",
            ready_seconds=ready,
            seen="the worker names the file and trains nothing until it is brought back",
        )
    tell(row)


def test_a_truncated_snapshot_fails_its_round_and_the_next_one_goes_on(
    tiny_model: Path, tmp_path: Path, tell: Tell
) -> None:
    settings = small_settings(tmp_path / "home", tiny_model)
    names = set_up(settings, annotators=3)
    with Site(settings) as site, Team(site, names, pause=1.0, seed=1) as team:
        until_another_round(site)
        site.pause("worker-0")
        _die_in_reward(site, team)
        parquet = _truncate_snapshot(site)
        site.resume("worker-0")
        site.until(lambda: ended_rounds(site).get("failed"), "the round fails")
        with reading(site.engine) as session:
            failed = session.exec(select(Round).where(Round.state == RoundState.FAILED)).one()
        assert parquet.name in failed.reason, failed.reason
        until_another_round(site)
        ready = site.seconds_until_ready()
        row = came_through(
            site,
            team,
            fault="the end of a round's Parquet snapshot cut off",
            times="once",
            ready_seconds=ready,
            seen="that round fails and names the file; the next one takes a snapshot of its own",
        )
    tell(row)


def _die_in_reward(site: Site, team: Team) -> None:
    """Leave a round whose snapshot is committed and whose reward model is not."""
    dying = [sys.executable, "-c", DYING, sys.executable, str(CHILD), "reward", "after"]
    for _ in range(10):
        # It makes tasks first, and ends where no round is due yet.
        if subprocess.run(dying, env=site.environment, check=False).returncode == -9:
            return
        for _ in range(site.settings.judgments_per_round):
            until_another_judgment(site, team)
    raise AssertionError(f"No round came to its reward model.\n{site.last_lines()}")


def _truncate_snapshot(site: Site) -> Path:
    with reading(site.engine) as session:
        open_round = session.exec(select(Round).where(Round.state == RoundState.REWARD)).one()
        uri = session.exec(
            select(Snapshot.uri).where(col(Snapshot.id) == open_round.snapshot_id)
        ).one()
    parquet = max((site.settings.home / uri).glob("*.parquet"), key=lambda one: one.stat().st_size)
    whole = parquet.read_bytes()
    parquet.write_bytes(whole[: len(whole) // 2])
    return parquet
