"""What stands still and does not die: a training job that hangs, a slow or dying endpoint."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import torch
from sqlmodel import select

from reward.language_models.backbone import load_backbone
from storage.engine import reading
from storage.tables import Completion, WorkerLease
from tests.faults.conftest import Tell
from tests.faults.loop import came_through, until_another_round
from tests.faults.site import Site, set_up, small_settings
from tests.faults.told import Team
from tests.reward.completion_server import Served, serving

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]
STALL_MINUTES = 0.75


def _doing(site: Site) -> str:
    with reading(site.engine) as session:
        found = session.exec(select(WorkerLease.doing)).first()
    return found or ""


def _suspend(hung: psutil.Process, site: Site) -> None:
    """Stop the process between two of its transactions: who hangs within one locks all others out.

    SQLite has one writer, so that is another fault: then the lease cannot be kept either, and the
    job is ended for that.
    """
    file = site.settings.home / "rankloop.db"
    while True:
        hung.suspend()
        try:
            with closing(sqlite3.connect(file, timeout=0.5)) as other:
                other.execute("BEGIN IMMEDIATE")
                other.rollback()
            return
        except sqlite3.OperationalError:
            hung.resume()
            time.sleep(0.05)


def test_a_job_that_hangs_is_ended_and_its_round_goes_on(
    tiny_model: Path, tmp_path: Path, tell: Tell
) -> None:
    settings = small_settings(tmp_path / "home", tiny_model, step_stall_minutes=STALL_MINUTES)
    names = set_up(settings, annotators=3)
    with Site(settings) as site, Team(site, names, pause=1.0, seed=1) as team:
        site.until(lambda: "round" in _doing(site).lower(), "a round is under way")
        hung = site.child()
        assert hung is not None
        began = time.monotonic()
        _suspend(hung, site)
        site.until(lambda: not psutil.pid_exists(hung.pid), "the job that hangs is ended")
        seconds = time.monotonic() - began
        assert "made no progress" in site.log("worker-0").read_text()
        until_another_round(site)
        ready = site.seconds_until_ready()
        row = came_through(
            site,
            team,
            fault="a training job that hangs (SIGSTOP)",
            times="once",
            ready_seconds=ready,
            seen=f"ended after {seconds:.0f} s (step_stall_minutes = {STALL_MINUTES:g}), the round "
            "is published by another",
        )
    tell(row)


class Trouble(Served):
    """A server of completions that answers in time, late, with an error, or not at all."""

    mood: str = "well"

    def answer(self, path: str, body: dict[str, object]) -> tuple[int, str]:
        if path == "/v1/completions" and self.mood == "slow":
            time.sleep(1.0)
        if path == "/v1/completions" and self.mood == "dying":
            raise ConnectionAbortedError("dies in the midst of an answer")
        if self.mood == "busy":
            return 503, json.dumps({"error": "busy"})
        return super().answer(path, body)


def test_an_endpoint_that_is_slow_or_dies_costs_no_judgment_and_no_round(
    tiny_model: Path, tmp_path: Path, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    backbone = load_backbone(
        tiny_model, device=torch.device("cpu"), dtype=torch.float32, top_layers=1, rank=2
    )
    monkeypatch.setattr("tests.reward.completion_server.Served", Trouble)
    with serving(backbone) as served:
        assert isinstance(served, Trouble)
        settings = small_settings(tmp_path / "home", tiny_model, generator=served.url)
        names = set_up(settings, annotators=3)
        ready = 0.0
        with Site(settings) as site, Team(site, names, pause=1.0, seed=1) as team:
            until_another_round(site)
            for mood in ("slow", "busy", "dying"):
                served.mood = mood
                asked = len(served.requests)
                time.sleep(15)
                ready = max(ready, site.seconds_until_ready())
                assert len(served.requests) > asked or mood == "busy"
                served.mood = "well"
                until_another_round(site)
            with reading(site.engine) as session:
                texts = session.exec(select(Completion.text, Completion.finish_reason)).all()
            row = came_through(
                site,
                team,
                fault="a completion server that is slow, answers 503, dies within an answer",
                times="15 s each",
                ready_seconds=ready,
                seen="no half completion is stored; rounds are published when it is back",
            )
    assert {reason for _, reason in texts} <= {"stop", "length"}
    tell(row)
