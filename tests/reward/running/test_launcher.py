"""The command that starts several processes, and what becomes of one that fails or hangs."""

import sys
from pathlib import Path

import pytest
import yaml

from reward.running import launcher
from reward.running.launcher import (
    Launch,
    ProcessesFailed,
    config_file,
    launch_command,
    run_together,
)
from storage.errors import BadInput, Unavailable


def test_on_cpu_it_is_torchrun() -> None:
    command = launch_command(Launch(3, "cpu"), "some.module", "--flag")
    assert command[1:3] == ["-m", "torch.distributed.run"]
    assert command[command.index("--nproc_per_node") + 1] == "3"
    assert command[-3:] == ["-m", "some.module", "--flag"]


def test_on_gpus_it_is_accelerate_with_a_config() -> None:
    command = launch_command(Launch(2, "cuda"), "some.module")
    assert "accelerate.commands.launch" in command
    assert Path(command[command.index("--config_file") + 1]).name == "ddp.yaml"
    assert command[command.index("--num_processes") + 1] == "2"


@pytest.mark.parametrize("name", ["one", "cpu2", "ddp", "fsdp2", "deepspeed_zero3"])
def test_accelerate_reads_every_config(name: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    found = load_config_from_file(str(config_file(name)))
    own = yaml.safe_load(config_file(name).read_text())
    assert found.num_processes == own["num_processes"]
    if name == "fsdp2":
        assert found.fsdp_config["fsdp_version"] == 2
    if name == "deepspeed_zero3":
        assert found.deepspeed_config["zero_stage"] == 3


def test_a_config_that_does_not_exist_is_named() -> None:
    with pytest.raises(BadInput, match=r"'ddq' is neither a file nor one of cpu2, ddp"):
        launch_command(Launch(2, "cuda", "ddq"), "some.module")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module that says its rank, then does what its argument says."""
    (tmp_path / "ranked.py").write_text(
        "import os, sys, time\n"
        # In one write, as logging does: the processes share a pipe, and print makes four of it.
        "os.write(1, f'rank {os.environ[\"RANK\"]}\\n'.encode())\n"
        "if sys.argv[1] == 'hang': time.sleep(600)\n"
        "if sys.argv[1] == 'die' and os.environ['RANK'] == '1': os.kill(os.getpid(), 9)\n"
        "if sys.argv[1] == 'die': time.sleep(600)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "ranked"


def _lines(launch: Launch, module: str, what: str) -> list[str]:
    lines: list[str] = []
    run_together(launch, module, what, on_line=lines.append)
    return lines


def test_lines_of_all_processes_are_heard(module: str) -> None:
    assert sorted(_lines(Launch(2, "cpu"), module, "end")) == ["rank 0", "rank 1"]


def test_the_process_that_died_is_named(module: str) -> None:
    with pytest.raises(ProcessesFailed, match="process 1 ended with killed by SIGKILL"):
        _lines(Launch(2, "cpu"), module, "die")


@pytest.mark.slow
def test_processes_that_hang_are_ended(module: str) -> None:
    with pytest.raises(Unavailable, match="said nothing for 0 minutes"):
        _lines(Launch(2, "cpu", silent_seconds=25.0), module, "hang")


def _spoken(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run a process that says a line on stderr every 0.2 s for 4 s, with 2 s as the limit."""
    (folder / "spoken.py").write_text(
        "import sys, time\n"
        f"for _ in range(20): print({line!r}, file=sys.stderr, flush=True); time.sleep(0.2)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    # Alone: torchrun takes longer to start than the limit is.
    command = [sys.executable, "-m", "spoken"]
    monkeypatch.setattr(launcher, "launch_command", lambda *_: command)
    said: list[str] = []
    launch = Launch(2, "cpu", silent_seconds=2.0)
    run_together(launch, "spoken", on_line=said.append, on_error=said.append)
    return said


def test_lines_on_stderr_are_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _spoken("step 1 of 8", tmp_path, monkeypatch) == ["step 1 of 8"]


def test_what_the_launcher_says_itself_is_no_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "W1123 09:30:00.000 12 torch/distributed/run.py:803] still here"
    with pytest.raises(Unavailable, match="said nothing"):
        _spoken(own, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("launch", "config"),
    [
        (Launch(1, "cpu", accelerate=True), "one.yaml"),
        (Launch(2, "cpu", accelerate=True), "cpu2.yaml"),
        (Launch(2, "cuda", accelerate=True), "ddp.yaml"),
        (Launch(2, "cuda", "fsdp2", accelerate=True), "fsdp2.yaml"),
    ],
)
def test_accelerate_is_used_where_it_is_asked_for(launch: Launch, config: str) -> None:
    command = launch_command(launch, "some.module")
    assert Path(command[command.index("--config_file") + 1]).name == config


def test_accelerate_starts_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "counted.py").write_text("import os\nprint(os.environ.get('WORLD_SIZE', '1'))\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    lines: list[str] = []
    run_together(Launch(1, "cpu", accelerate=True), "counted", on_line=lines.append)
    assert lines == ["1"]
