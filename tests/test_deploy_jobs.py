"""The scripts of deploy/ that start jobs, run with stand-ins for what only a cluster has."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from reward.running.launch_template import PLACEHOLDERS, LaunchTemplate, job_values
from storage.settings import Settings, load_settings

DEPLOY = Path(__file__).parents[1] / "deploy"
DOCS = DEPLOY.parent / "docs" / "training-at-size.md"

# Keeps what it was given to create, says what `status` has, and notes what is deleted.
KUBECTL = """#!/bin/sh
case $1 in
create) cat > job.yaml; echo Pending > status ;;
get) cat status ;;
logs) echo "CUDA error: out of memory" ;;
delete) echo "$@" > deleted ;;
esac
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a stand-in for kubectl, which is the one that is found."""
    file = tmp_path / "kubectl"
    file.write_text(KUBECTL)
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("POLL_SECONDS", "0.1")
    return tmp_path


def _start(cluster: Path, *words: str) -> subprocess.Popen[str]:
    script = str(DEPLOY / "kubernetes" / "run-job.sh")
    started = subprocess.Popen([script, *words], cwd=cluster, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while not (cluster / "status").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return started


HARD = ["rankloop-default-round-1", "python", "-m", "x", 'a "b" \\ & | c', "@NAME@", "$(id)"]


def test_a_job_gets_its_command_whole_and_is_waited_for(cluster: Path) -> None:
    started = _start(cluster, *HARD)
    job = yaml.safe_load((cluster / "job.yaml").read_text())
    assert job["metadata"]["name"] == HARD[0]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == HARD[1:]
    assert job["spec"]["backoffLimit"] == 0
    assert started.poll() is None
    (cluster / "status").write_text("SuccessCriteriaMet Complete")
    started.communicate(timeout=20)
    assert started.returncode == 0
    assert not (cluster / "deleted").exists()


def test_a_job_that_failed_shows_its_last_words(cluster: Path) -> None:
    started = _start(cluster, *HARD)
    (cluster / "status").write_text("Failed")
    _, errors = started.communicate(timeout=20)
    assert started.returncode == 1
    assert errors.strip().endswith("CUDA error: out of memory")


def test_a_script_that_is_ended_deletes_its_job(cluster: Path) -> None:
    started = _start(cluster, *HARD)
    started.terminate()
    deadline, told = time.monotonic() + 20, cluster / "deleted"
    # The shell makes the file before it writes into it.
    while not (told.exists() and told.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert told.read_text().split()[:3] == ["delete", "job", HARD[0]]
    (cluster / "status").write_text("Failed")
    started.communicate(timeout=20)
    assert started.returncode != 0


def _templates_of(file: Path, setting: str = "RANKLOOP_LAUNCH_COMMAND=") -> list[str]:
    """Return what a file sets a setting to, without the quotes."""
    lines = [line.lstrip("# ").removeprefix("export ") for line in file.read_text().splitlines()]
    return [line.removeprefix(setting)[1:-1] for line in lines if line.startswith(setting)]


def test_every_template_in_deploy_and_docs_can_be_filled() -> None:
    files = [DEPLOY / "slurm" / "rankloop-worker.env", DEPLOY / "kubernetes" / "run-job.sh", DOCS]
    texts = [text for file in files for text in _templates_of(file)]
    assert len(texts) == 7
    values = job_values(load_settings(), name="n", stage="ppo", job=["a.module", "/x y"])
    for text in texts:
        command = LaunchTemplate("launch_command", text).command(values)
        assert not any("{" in word for word in command)
        nested = shlex.split(command[-1]) if " -m " in command[-1] else command
        assert nested[-2:] == ["a.module", "/x y"]


def test_every_setting_of_training_at_size_is_in_its_page() -> None:
    text = DOCS.read_text()
    prefixes = ("launch", "cancel_", "publish_", "checkpoint_", "fetched_", "generator")
    for name in Settings.model_fields:
        if name.startswith(prefixes):
            assert name in text or f"RANKLOOP_{name.upper()}" in text, name
    for placeholder in PLACEHOLDERS:
        assert f"`{{{placeholder}}}`" in text, placeholder


RANKED = """
import json, os, sys
import torch.distributed as distributed
distributed.init_process_group("gloo")
found = [None] * distributed.get_world_size()
distributed.all_gather_object(found, [os.environ["GROUP_RANK"], os.environ["LOCAL_RANK"]])
if distributed.get_rank() == 0:
    print(json.dumps(found))
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_nodes_train_together(tmp_path: Path) -> None:
    (tmp_path / "ranked.py").write_text(RANKED)
    script = str(DEPLOY / "slurm" / "torchrun-node.sh")
    command = [script, "4", sys.executable, "-m", "ranked"]
    nodes = []
    for node in range(2):
        environment = {
            **os.environ,
            "PYTHONPATH": str(tmp_path),
            "SLURM_NNODES": "2",
            "SLURM_NODEID": str(node),
            "SLURM_JOB_ID": str(os.getpid()),
            "MASTER_ADDR": "127.0.0.1",
            "OMP_NUM_THREADS": "1",
        }
        nodes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    said = [one.communicate(timeout=120)[0] for one in nodes]
    assert [one.returncode for one in nodes] == [0, 0]
    (line,) = "".join(said).splitlines()
    assert json.loads(line) == [["0", "0"], ["0", "1"], ["1", "0"], ["1", "1"]]


def test_processes_that_nodes_cannot_share_are_refused(tmp_path: Path) -> None:
    script = str(DEPLOY / "slurm" / "torchrun-node.sh")
    environment = {**os.environ, "SLURM_NNODES": "2", "SLURM_NODEID": "0"}
    done = subprocess.run(
        [script, "3", "python", "-m", "x"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1 and "3 processes cannot be shared out" in done.stderr
