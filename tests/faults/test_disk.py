"""The disk is full, or cannot be written, under a loop at work: a small one of its own."""

import os
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults.conftest import Tell
from tests.faults.loop import (
    ended_rounds,
    in_words,
    until_another_judgment,
    until_another_round,
    what_is_broken,
)
from tests.faults.site import Site, set_up, small_settings
from tests.faults.table import Row
from tests.faults.told import Team
from tests.requirement import missing

MIB = 1 << 20
SIZE = 96 * MIB

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]


def mount(*arguments: str | Path) -> bool:
    done = subprocess.run(
        ["mount", *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return done.returncode == 0


def umount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that is a file system of its own, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder):
        missing("The right to mount a file system", "run these tests as root")
    yield folder
    umount(folder)


def fill(folder: Path) -> Path:
    """Write until nothing more fits."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    return ballast


def free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def test_a_full_disk_refuses_and_goes_on_when_there_is_room(
    small_disk: Path, tiny_model: Path, tmp_path: Path, tell: Tell
) -> None:
    settings = small_settings(small_disk / "home", tiny_model)
    names = set_up(settings, annotators=3)
    with Site(settings, logs=tmp_path) as site, Team(site, names, pause=1.0, seed=1) as team:
        until_another_round(site)
        web = site.processes["web"].pid
        ballast = fill(small_disk)
        refused, began = team.told.refused + sum(team.told.lost.values()), time.monotonic()
        while time.monotonic() - began < 20:
            fill_again = free(small_disk)
            assert fill_again < MIB
            time.sleep(1)
        ready_full = site.seconds_until_ready()
        refused = team.told.refused + sum(team.told.lost.values()) - refused
        ballast.unlink()
        ready = site.seconds_until_ready()
        until_another_judgment(site, team)
        until_another_round(site)
        assert site.processes["web"].pid == web, "the web server has died of a full disk"
        rounds, wrong = ended_rounds(site), what_is_broken(site, team)
    assert wrong == []
    assert refused > 0, "nobody noticed"
    tell(
        Row(
            fault="disk full (database, checkpoints and snapshots on it), SQLite",
            times="20 s",
            acknowledged=len(team.told.acknowledged),
            rounds=in_words(rounds),
            ready_seconds=max(ready, ready_full),
            seen=f"{refused} submits refused in plain words; the same web process goes on",
        )
    )


def test_checkpoints_on_a_disk_that_cannot_be_written(
    small_disk: Path, tiny_model: Path, tmp_path: Path, tell: Tell
) -> None:
    settings = small_settings(small_disk / "home", tiny_model)
    names = set_up(settings, annotators=3)
    kept = [settings.home / name for name in ("checkpoints", "snapshots")]
    for folder in kept:
        folder.mkdir(exist_ok=True)
        assert mount("--bind", folder, folder)
    with Site(settings, logs=tmp_path) as site, Team(site, names, pause=1.0, seed=1) as team:
        until_another_round(site)
        before = ended_rounds(site)
        for folder in kept:
            # Refused while a file is open for writing.
            site.until(partial(mount, "-o", "remount,ro,bind", folder), "it is read-only")
        site.until(lambda: "Read-only file system" in site.last_lines(400), "the worker says why")
        until_another_judgment(site, team)
        assert ended_rounds(site).get("done") == before.get("done"), "published without a disk"
        ready = site.seconds_until_ready()
        for folder in kept:
            assert mount("-o", "remount,rw,bind", folder)
        until_another_round(site)
        rounds, wrong = ended_rounds(site), what_is_broken(site, team)
    for folder in kept:
        umount(folder)
    assert wrong == []
    tell(
        Row(
            fault="checkpoints and snapshots read-only under a round",
            times="once",
            acknowledged=len(team.told.acknowledged),
            rounds=in_words(rounds),
            ready_seconds=ready,
            seen="judgments go on; the worker names the file; the next round is published",
        )
    )


def test_a_home_that_cannot_be_written_is_one_sentence_at_the_start(
    small_disk: Path, tiny_model: Path, tmp_path: Path, tell: Tell
) -> None:
    settings = small_settings(small_disk / "home", tiny_model)
    names = set_up(settings, annotators=2)
    with Site(settings, logs=tmp_path) as site:
        with Team(site, names, pause=0.5, seed=1) as team:
            until_another_judgment(site, team)
        site.pause("web", "worker-0")
        site.engine.dispose()
        assert mount("-o", "remount,ro", small_disk)
        site.resume("web", "worker-0")
        # It may serve what can be read, or end with a sentence; it may not show its insides.
        time.sleep(20)
        said = site.log("worker-0").read_text().splitlines()
        assert mount("-o", "remount,rw", small_disk)
        ready = site.seconds_until_ready()
        with Team(site, names, pause=0.5, seed=2) as after:
            until_another_judgment(site, after)
        after.told.acknowledged += team.told.acknowledged
        wrong = what_is_broken(site, after)
    assert wrong == []
    assert any("read-only" in line.lower() or "readonly" in line.lower() for line in said), said
    tell(
        Row(
            fault="the whole home read-only at the start, SQLite",
            times="20 s",
            acknowledged=len(after.told.acknowledged),
            rounds="",
            ready_seconds=ready,
            seen="said in one sentence; serves when it can write again",
        )
    )
