"""The machine's clock is set back by hours while everybody works, and forward again."""

import os
from pathlib import Path

import pytest
from sqlmodel import func, select

from storage.engine import reading
from storage.tables import Judgment
from tests.faults.conftest import Tell
from tests.faults.loop import (
    ended_rounds,
    in_words,
    until_another_judgment,
    until_another_round,
    what_is_broken,
)
from tests.faults.site import ROOT, Site, set_up, small_settings
from tests.faults.table import Row
from tests.faults.told import Team

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]
HOURS = -3.0


def test_a_clock_set_back_loses_nothing_and_stops_nothing(
    tiny_model: Path, tmp_path: Path, tell: Tell
) -> None:
    settings = small_settings(tmp_path / "home", tiny_model)
    names = set_up(settings, annotators=3)
    offset = tmp_path / "offset"
    offset.write_text("0")
    folder = Path(__file__).parent / "shifted_clock"
    paths = os.pathsep.join([str(folder), str(ROOT)])
    with (
        Site(settings, PYTHONPATH=paths, FAULTS_CLOCK_OFFSET=str(offset)) as site,
        Team(site, names, pause=1.0, seed=1) as team,
    ):
        until_another_round(site)
        ready = 0.0
        for hours in (HOURS, 0.0):
            offset.write_text(str(3600 * hours))
            until_another_judgment(site, team)
            site.kill("web")
            ready = max(ready, site.seconds_until_ready())
            site.kill("worker-0")
            until_another_judgment(site, team)
            until_another_round(site)
        with reading(site.engine) as session:
            first, last = session.exec(
                select(func.min(Judgment.created_at), func.max(Judgment.created_at))
            ).one()
        rounds, wrong = ended_rounds(site), what_is_broken(site, team)
    assert wrong == []
    assert (last - first).total_seconds() > 3000 * -HOURS, "the clock was not set back"
    tell(
        Row(
            fault=f"clock set {-HOURS:g} hours back while all work, and forward again",
            times="web and worker killed under either",
            acknowledged=len(team.told.acknowledged),
            rounds=in_words(rounds),
            ready_seconds=ready,
            seen="sign-ins stay, rounds are published",
        )
    )
