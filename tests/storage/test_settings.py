"""Where settings come from, and what a wrong one is told."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from storage.errors import BadInput
from storage.settings import load_settings


@pytest.fixture(autouse=True)
def _empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_database_is_a_file_in_home_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANKLOOP_HOME")
    settings = load_settings()
    assert settings.home == Path.cwd() / "rankloop-data"
    assert settings.url == f"sqlite:///{settings.home}/rankloop.db"


def test_arguments_beat_the_environment_beats_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("rankloop.toml").write_text("port = 1001\npool_tasks = 11\noverlap = 3\n")
    monkeypatch.setenv("RANKLOOP_PORT", "1002")
    monkeypatch.setenv("RANKLOOP_POOL_TASKS", "12")
    settings = load_settings(port=1003, pool_tasks=None)
    assert (settings.port, settings.pool_tasks, settings.overlap) == (1003, 12, 3)


def test_training_settings_of_a_stage_come_from_the_file() -> None:
    Path("rankloop.toml").write_text("[training.ppo]\nlearning_rate = 1e-4\n")
    assert load_settings().training == {"ppo": {"learning_rate": 1e-4}}


def test_a_database_url_is_used_as_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKLOOP_DATABASE_URL", "postgresql://ada@db/loop")
    assert load_settings().url == "postgresql://ada@db/loop"


def test_a_setting_out_of_range_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKLOOP_PORT", "70000")
    with pytest.raises(BadInput, match="RANKLOOP_PORT"):
        load_settings()


def test_an_unknown_setting_in_the_file_is_named() -> None:
    Path("rankloop.toml").write_text("prot = 8501\n")
    with pytest.raises(BadInput, match="prot"):
        load_settings()


def test_a_file_that_is_not_toml_is_named() -> None:
    Path("rankloop.toml").write_text("port 8501\n")
    with pytest.raises(BadInput, match=r"rankloop\.toml"):
        load_settings()


def test_settings_cannot_be_changed() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]
