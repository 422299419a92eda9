"""A round whose training is shared by two processes: as one does it, and failed if one dies."""

import os
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from sqlmodel import select

from labeling.judging.demonstrations import add_demonstration
from labeling.policies import live_policy
from reward.generation.pool import PoolFiller
from reward.running.lease import acquire
from reward.running.loop import STEPS, Loop
from reward.running.runtime import Runtime
from reward.steps.outcome import CannotTrain, StepContext, StepOutcome
from reward.tuning.checkpoint import read_checkpoint
from storage.blobs import local_path
from storage.engine import build_engine, reading, writing
from storage.settings import Settings
from storage.tables import Account, Project, Prompt, Role, Round, RoundPoint, RoundState, Split

QUICK = {
    "reward": {"newest_rankings": 12, "normalise_prompts": 2, "epochs": 1, "folds": 2},
    "ppo": {"iterations": 2, "prompts_per_iteration": 4, "minibatches": 2, "epochs": 1},
}


STAND_IN = Path(__file__).with_name("stand_in_srun.sh")


def _by_command(settings: Settings, queue: Path) -> Settings:
    """Return settings by which a stand-in for srun starts torchrun."""
    torchrun = "{python} -m torch.distributed.run --standalone --nproc_per_node {processes}"
    return settings.model_copy(
        update={
            "launcher": "command",
            "launch_command": f"{STAND_IN} {queue} {torchrun} -m {{job}}",
            "cancel_command": f"touch {queue}/cancelled",
            "worker_lease_seconds": 30.0,
        }
    )


def _loop(settings: Settings, processes: int) -> Loop:
    training = {
        name: {**settings.training.get(name, {}), **QUICK.get(name, {})}
        for name in {*settings.training, *QUICK}
    }
    settings = settings.model_copy(update={"training": training, "processes": processes})
    runtime = Runtime(build_engine(settings.url), settings)
    with writing(runtime.engine) as session:
        lease = acquire(
            session,
            project_id=runtime.project_id,
            owner=f"of {processes}",
            seconds=600,
            host="here",
            pid=1,
            device="cpu",
        )
    assert lease is not None
    return Loop(runtime, lease, PoolFiller(runtime))


def _stop(context: StepContext) -> StepOutcome:
    raise CannotTrain("Far enough.")


def _run(
    settings: Settings,
    processes: int,
    names: tuple[str, ...] = ("reward", "second_reward", "policy"),
) -> tuple[Round, dict[str, dict[str, torch.Tensor]]]:
    one = _loop(settings, processes).run_round_if_due()
    assert one is not None and one.reason == "Far enough.", one
    folders = {name: local_path(settings.home, one.artefacts[name]) for name in names}
    return one, {name: read_checkpoint(folder).state for name, folder in folders.items()}


# Six and four starts of a process that imports everything, on cores that others may want too.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_round_in_two_processes_is_that_of_one(
    judged: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setitem(STEPS, RoundState.EVALUATE, _stop)  # type: ignore[arg-type]
    other = tmp_path_factory.mktemp("copy") / "home"
    shutil.copytree(judged.home, other)
    one, alone = _run(judged, 1)
    two, together = _run(judged.model_copy(update={"home": other}), 2)
    for role, weights in alone.items():
        for name, weight in weights.items():
            torch.testing.assert_close(
                together[role][name], weight, atol=2e-4, rtol=2e-3, msg=f"{role} {name}"
            )
    for figure in ("reward_accuracy", "reward_loss", "ppo_score_last", "ppo_kl_last"):
        assert two.metrics[figure] == pytest.approx(one.metrics[figure], abs=2e-3), figure
    with reading(build_engine(f"sqlite:///{other / 'rankloop.db'}")) as session:
        points = session.exec(select(RoundPoint)).all()
    assert len([point for point in points if point.state is RoundState.PPO]) == 2


def test_fine_tuning_and_an_optimizer_of_trl_too(
    judged: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setitem(STEPS, RoundState.EVALUATE, _stop)  # type: ignore[arg-type]
    sizes = {"steps": 2, "pairs": 4, "micro_batch": 2}
    training = {
        **judged.training,
        "sft": {"min_new": 3, "epochs": 1, "batch": 4, "micro_batch": 4},
        "optimizer": {"optimizer": "dpo", **sizes},
    }
    judged = judged.model_copy(update={"training": training})
    _demonstrate(judged, 6)
    other = tmp_path_factory.mktemp("copy") / "home"
    shutil.copytree(judged.home, other)
    one, alone = _run(judged, 1, ("sft", "policy"))
    two, together = _run(judged.model_copy(update={"home": other}), 2, ("sft", "policy"))
    for role, weights in alone.items():
        for name, weight in weights.items():
            torch.testing.assert_close(
                together[role][name], weight, atol=2e-4, rtol=2e-3, msg=f"{role} {name}"
            )
    for figure in ("sft_loss_first", "sft_loss_last", "ppo_iterations"):
        assert two.metrics[figure] == pytest.approx(one.metrics[figure], abs=1e-4), figure
    with reading(build_engine(f"sqlite:///{other / 'rankloop.db'}")) as session:
        points = session.exec(select(RoundPoint)).all()
    assert len([point for point in points if point.state is RoundState.SFT]) == 2
    assert len([point for point in points if point.state is RoundState.PPO]) == 2


def _demonstrate(settings: Settings, count: int) -> None:
    engine = build_engine(settings.url)
    with writing(engine) as session:
        project = session.exec(select(Project)).one()
        account = session.exec(select(Account).where(Account.role == Role.ANNOTATOR)).first()
        assert account is not None
        prompts = session.exec(select(Prompt).where(Prompt.split == Split.TRAIN)).all()[:count]
        for index, prompt in enumerate(prompts):
            add_demonstration(
                session,
                project=project,
                account=account,
                prompt_id=prompt.id or 0,
                text="yes" + "." * index,
            )
    engine.dispose()


def test_a_round_by_a_command_is_that_of_one(
    judged: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setitem(STEPS, RoundState.EVALUATE, _stop)  # type: ignore[arg-type]
    other, queue = tmp_path_factory.mktemp("copy") / "home", tmp_path_factory.mktemp("queue")
    shutil.copytree(judged.home, other)
    _, alone = _run(judged, 1)
    commanded = _by_command(judged.model_copy(update={"home": other}), queue)
    _, elsewhere = _run(commanded, 2)
    for role, weights in alone.items():
        for name, weight in weights.items():
            torch.testing.assert_close(
                elsewhere[role][name], weight, atol=2e-4, rtol=2e-3, msg=f"{role} {name}"
            )
    assert not list((other / "jobs").iterdir())
    assert not (queue / "cancelled").exists()


@pytest.mark.parametrize("by_command", [False, True])
def test_a_process_that_is_killed_fails_the_round_and_nothing_else(
    judged: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by_command: bool
) -> None:
    loop = _loop(_by_command(judged, tmp_path) if by_command else judged, 2)
    with reading(loop.runtime.engine) as session:
        before = live_policy(session, project_id=loop.runtime.project_id).version
    killed: list[float] = []

    def kill_one(step: int, steps: int, metrics: object) -> None:
        if not killed:
            ranks = [one for one in _jobs(judged) if one.environ().get("RANK") == "1"]
            os.kill(ranks[-1].pid, signal.SIGKILL)
            killed.append(time.monotonic())

    real = STEPS[RoundState.REWARD]

    def killing(context: StepContext) -> StepOutcome:
        return real(replace(context, report=kill_one))

    monkeypatch.setitem(STEPS, RoundState.REWARD, killing)  # type: ignore[arg-type]
    one = loop.run_round_if_due()
    assert one is not None and one.state is RoundState.FAILED
    ended = "launch_command ended with exit code 1" if by_command else "process 1 ended with killed"
    assert ended in one.reason, one.reason
    assert time.monotonic() - killed[0] < 120
    with reading(loop.runtime.engine) as session:
        assert live_policy(session, project_id=loop.runtime.project_id).version == before
    assert (tmp_path / "cancelled").exists() == by_command
    assert not _jobs(judged)


def _jobs(settings: Settings) -> list[psutil.Process]:
    """Return the processes of jobs: our own, and those of this home in another session."""
    found = psutil.Process().children(recursive=True)
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            if any(str(settings.home) in word for word in one.cmdline()):
                found.append(one)
    return [one for one in found if one.is_running() and "reward.stages.job" in one.cmdline()]
