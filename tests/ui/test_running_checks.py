"""The checks of what runs: each names what is wrong and what to do."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from storage.clock import now
from storage.engine import writing
from storage.errors import Unavailable
from storage.settings import load_settings
from storage.tables import Event, Round, RoundState, WorkerLease
from tests.ui.conftest import Home
from tests.ui.small_home import small_home
from ui.cli import running_checks


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path) -> Iterator[Home]:
    made = small_home(tmp_path / "home", sqlite_template)
    yield made
    made.engine.dispose()


def hold_lease(home: Home, **values: object) -> None:
    with writing(home.engine) as session:
        session.add(
            WorkerLease(project_id=home.project_id, owner="w", **{"expires_at": now(), **values})
        )


def open_a_round(home: Home) -> None:
    with writing(home.engine) as session:
        session.add(Round(project_id=home.project_id, number=1, state=RoundState.PPO))


def test_a_round_without_a_worker_is_named(home: Home) -> None:
    assert "free" in running_checks.lease(home.settings)
    open_a_round(home)
    with pytest.raises(Unavailable, match="no worker holds the lease; start one"):
        running_checks.lease(home.settings)


def test_a_worker_that_holds_its_lease_is_in_order(home: Home) -> None:
    open_a_round(home)
    hold_lease(home, expires_at=now() + timedelta(seconds=100))
    assert "held by w" in running_checks.lease(home.settings)


@pytest.mark.parametrize(
    ("seconds", "progress", "words"),
    [(3600, 0, "its machine's clock is ahead"), (100, 1500, "no progress for 25 minutes")],
)
def test_a_lease_that_cannot_be_right_is_named(
    home: Home, seconds: int, progress: int, words: str
) -> None:
    open_a_round(home)
    hold_lease(
        home,
        expires_at=now() + timedelta(seconds=seconds),
        progress_at=now() - timedelta(seconds=progress),
    )
    with pytest.raises(Unavailable, match=words):
        running_checks.lease(home.settings)


def test_a_time_that_is_still_to_come_is_named(home: Home) -> None:
    assert "right" in running_checks.clock(home.settings)
    with writing(home.engine) as session:
        session.add(Event(kind="clock.test", created_at=now() + timedelta(hours=2)))
    with pytest.raises(Unavailable, match="is still to come"):
        running_checks.clock(home.settings)


def driver(folder: Path, code: str) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{code}\n")
    tool.chmod(0o755)


def test_gpus_are_what_the_driver_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(running_checks.shutil, "which", lambda _name: None)
    assert "no NVIDIA driver" in running_checks.gpu(load_settings())
    with pytest.raises(Unavailable, match="RANKLOOP_DEVICE=auto"):
        running_checks.gpu(load_settings(device="cuda"))
    monkeypatch.setattr(running_checks.shutil, "which", lambda _name: str(tmp_path / "nvidia-smi"))
    driver(tmp_path, "echo 'NVIDIA H100, 80000, 81559, 41'")
    assert "80000 of 81559 MiB free" in running_checks.gpu(load_settings())
    driver(tmp_path, "echo 'Failed to initialize NVML' >&2; exit 9")
    with pytest.raises(Unavailable, match="Failed to initialize NVML"):
        running_checks.gpu(load_settings())
