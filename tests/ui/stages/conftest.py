"""The commands of training on a tiny model, in an empty folder without a home."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny_model import make_tiny_model
from tests.ui.stages.written import SIZES, Say, rankings, write
from ui.cli.commands import cli
from ui.cli.frame import run


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def say(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Say:
    """Run a command in an empty folder with a tiny model; return code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANKLOOP_HOME", str(tmp_path / "no-home"))
    monkeypatch.setenv("RANKLOOP_SYSTEM_PROMPT", "")
    monkeypatch.setenv("RANKLOOP_DEVICE", "cpu")

    def command(*arguments: str, model: Path = tiny, sizes: tuple[str, ...] = SIZES) -> Any:
        given = [word for size in sizes for word in ("--set", size)]
        code = run(cli, [*arguments, "--model", str(model), *given])
        said = capsys.readouterr()
        assert not (tmp_path / "no-home").exists()
        return code, said.out, said.err

    return command


@pytest.fixture
def reward(say: Say) -> Path:
    write("rankings.jsonl", rankings())
    code, _, err = say("train", "reward", "--data", "rankings.jsonl", "--out", "reward")
    assert code == 0, err
    return Path("reward")
