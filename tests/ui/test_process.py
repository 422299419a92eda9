"""What the pages of a process share is of one home, whatever threads are still at work."""

from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import Engine

from storage.settings import load_settings
from ui import process


def test_a_thread_of_older_settings_leaves_no_engine_to_newer_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    building, go_on = Event(), Event()
    real: Any = process.build_engine

    def slow(url: str) -> Engine:
        if "home-1" in url:
            building.set()
            assert go_on.wait(30)
        return real(url)

    monkeypatch.setattr(process, "build_engine", slow)
    process.configure(load_settings(home=tmp_path / "home-1"))
    found: list[Engine] = []
    thread = Thread(target=lambda: found.append(process.engine()))
    thread.start()
    assert building.wait(30)
    configuring = Thread(target=process.configure, args=(load_settings(home=tmp_path / "home-2"),))
    configuring.start()
    while process.settings().home != tmp_path / "home-2":
        configuring.join(0.01)
    newer = process.engine()
    go_on.set()
    thread.join()
    configuring.join()
    assert "home-1" in str(found[0].url)
    assert process.engine() is newer and "home-2" in str(newer.url)
    process.configure(load_settings(home=tmp_path / "home-1"))


def test_threads_at_once_share_one_engine(tmp_path: Path) -> None:
    process.configure(load_settings(home=tmp_path))
    found: list[Engine] = []
    threads = [Thread(target=lambda: found.append(process.engine())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(one) for one in found}) == 1
