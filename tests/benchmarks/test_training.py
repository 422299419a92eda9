"""`make bench-training`: what it runs, and what it says where something is missing."""

import importlib
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import training


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Keep what would be run, and run nothing; the peer counts as installed."""
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        asked.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(training, "_peer_missing", lambda work: "")
    monkeypatch.setattr(subprocess, "run", run)
    return asked


@pytest.mark.parametrize("extent", [[], ["--quick"], ["--whole"]])
def test_every_benchmark_reads_the_options_it_is_given(
    extent: list[str],
    commands: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    people = tmp_path / "people.jsonl.gz"
    people.touch()
    given = [*("--model", str(tmp_path)), *("--work", str(tmp_path)), *extent]
    given += ["--docs", "--hh", str(people), "--oasst", str(people)]
    monkeypatch.setattr("sys.argv", ["training", *given])
    monkeypatch.setattr(training, "has_browser", lambda: True)
    training.main()
    modules = [command[2].removeprefix("benchmarks.") for command in commands]
    assert modules == [
        *("ppo_against_trl", "reward_against_trl", "together", "ppo_against_trl"),
        *("simulated_rankings", "tuning_methods", "sample_efficiency", "kwise_against_pairwise"),
    ]

    for command in commands:
        monkeypatch.setattr("sys.argv", command[2:])
        # What a benchmark does not know ends it with a usage message.
        importlib.import_module(command[2])._options()


def test_what_cannot_be_run_is_said_and_the_rest_runs(
    commands: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["--model", str(tmp_path), "--work", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["training", *given])
    monkeypatch.setattr(training, "has_browser", lambda: False)
    monkeypatch.setattr(training, "_peer_missing", lambda work: "pip could not install it")
    training.main()
    said = capsys.readouterr().out
    assert said.count("Skipped: pip could not install it.") == 2
    assert "Skipped: there is no Chromium" in said
    assert "Skipped: it wants rankings of people: --oasst FILE." in said
    assert len(commands) == 4


def test_a_file_of_people_s_rankings_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["training", "--work", str(tmp_path), "--hh", str(tmp_path / "no.jsonl.gz")]
    )
    with pytest.raises(SystemExit):
        training.main()
    assert f"--hh: there is no {tmp_path / 'no.jsonl.gz'}" in capsys.readouterr().err
