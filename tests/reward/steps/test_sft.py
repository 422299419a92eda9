"""The SFT step: when it trains, what it leaves, and what a round without news inherits."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from sqlmodel import select

from labeling.judging.demonstrations import add_demonstration
from labeling.policies import live_policy
from reward.running.runtime import Runtime
from reward.steps.outcome import CannotTrain, StepContext, StepOutcome
from reward.steps.sft import train_on_demonstrations
from reward.steps.snapshot import take_snapshot
from storage.blobs import local_path, verify
from storage.engine import build_engine, writing
from storage.errors import Unavailable
from storage.settings import Settings
from storage.tables import Account, Policy, PolicyStatus, Prompt, Role, Round, Split

SFT = {"sft": {"min_new": 3, "epochs": 1, "batch": 2, "micro_batch": 2}}


@pytest.fixture
def runtime(judged: Settings) -> Runtime:
    settings = judged.model_copy(update={"training": {**judged.training, **SFT}})
    return Runtime(build_engine(settings.url), settings)


def demonstrate(runtime: Runtime, count: int, text: str, split: Split = Split.TRAIN) -> None:
    with writing(runtime.engine) as session:
        account = session.exec(select(Account).where(Account.role == Role.ANNOTATOR)).first()
        assert account is not None
        prompts = session.exec(select(Prompt).where(Prompt.split == split)).all()[:count]
        for prompt in prompts:
            add_demonstration(
                session,
                project=runtime.project,
                account=account,
                prompt_id=prompt.id or 0,
                text=text,
            )


def run(
    runtime: Runtime, number: int = 1, artefacts: dict[str, str] | None = None
) -> tuple[Round, StepOutcome, list[Any]]:
    """Take a round's snapshot, do the step, and store what it left."""
    points: list[Any] = []
    with writing(runtime.engine) as session:
        base = live_policy(session, project_id=runtime.project_id)
        one = Round(
            project_id=runtime.project_id,
            number=number,
            base_policy_id=base.id,
            seed=4,
            artefacts=artefacts or {},
        )
        session.add(one)
    context = StepContext(runtime, one, lambda *point: points.append(point), lambda words: None)
    one.snapshot_id = take_snapshot(context).snapshot_id
    outcome = train_on_demonstrations(context)
    with writing(runtime.engine) as session:
        stored = session.get_one(Round, one.id)
        stored.state = stored.state.DONE
        stored.artefacts = {**one.artefacts, **outcome.artefacts}
        session.add(stored)
    return one, outcome, points


def publish(runtime: Runtime, one: Round) -> None:
    with writing(runtime.engine) as session:
        base = session.get_one(Policy, one.base_policy_id)
        base.status = PolicyStatus.RETIRED
        session.add(base)
        session.flush()
        session.add(
            Policy(
                project_id=runtime.project_id,
                version=base.version + 1,
                parent_id=base.id,
                round_id=one.id,
                name=base.name,
                status=PolicyStatus.LIVE,
            )
        )


def test_without_demonstrations_nothing_is_trained(runtime: Runtime) -> None:
    _, outcome, points = run(runtime)
    assert outcome.metrics["sft"] == "skipped"
    assert (dict(outcome.artefacts), points) == ({}, [])


def test_enough_new_ones_make_an_adapter_that_is_the_reference(runtime: Runtime) -> None:
    demonstrate(runtime, 5, "yes")
    demonstrate(runtime, 4, "held out", Split.HELDOUT)
    _, outcome, points = run(runtime)
    uri = outcome.artefacts["sft"]
    assert outcome.artefacts["reference"] == uri
    verify(runtime.home, uri)
    assert (outcome.metrics["sft"], outcome.metrics["sft_demonstrations"]) == ("trained", 5)
    assert len(points) == 3
    assert points[0][2]["loss/sft"] == outcome.metrics["sft_loss_first"]
    folder = local_path(runtime.home, uri)
    assert len(json.loads((folder / "demonstrations.json").read_text())) == 5
    backbone = runtime.backbone
    backbone.load_adapter("again", folder)
    ids = torch.tensor([[5, 9, 30]])
    states = [backbone.top(backbone.trunk(ids), name) for name in ("again", None)]
    assert not torch.allclose(*states)


def test_too_few_new_ones_wait(runtime: Runtime) -> None:
    demonstrate(runtime, 2, "yes")
    _, outcome, _ = run(runtime)
    assert outcome.metrics["sft"] == "skipped"
    assert outcome.metrics["demonstrations_new"] == 2


def test_the_next_round_inherits_the_reference_until_there_are_new_ones(runtime: Runtime) -> None:
    demonstrate(runtime, 4, "yes")
    first, trained, _ = run(runtime)
    publish(runtime, first)
    demonstrate(runtime, 1, "one more")
    second, kept, points = run(runtime, 2)
    assert dict(kept.artefacts) == {"reference": trained.artefacts["reference"]}
    assert (kept.metrics["demonstrations_new"], points) == (1, [])
    publish(runtime, second)
    demonstrate(runtime, 2, "and two")
    _, again, _ = run(runtime, 3)
    assert again.artefacts["sft"] != trained.artefacts["sft"]
    assert again.metrics["sft_demonstrations"] == 7


def test_a_reference_that_is_gone_is_named(runtime: Runtime) -> None:
    demonstrate(runtime, 4, "yes")
    first, trained, _ = run(runtime)
    publish(runtime, first)
    (local_path(runtime.home, trained.artefacts["sft"]) / "manifest.json").unlink()
    with pytest.raises(Unavailable, match="manifest"):
        run(runtime, 2)


def test_demonstrations_that_are_all_too_long_fail_the_round(runtime: Runtime) -> None:
    demonstrate(runtime, 4, "yes")
    runtime.profile = replace(runtime.profile, sft=replace(runtime.profile.sft, max_tokens=3))
    with pytest.raises(CannotTrain, match=r"training\.sft\.max_tokens"):
        run(runtime)


def test_progress_is_kept_in_the_rounds_own_folder(runtime: Runtime) -> None:
    demonstrate(runtime, 4, "yes")
    run(runtime, artefacts={"progress": "progress/round-1"})
    assert (runtime.home / "progress/round-1/sft/trainer/tensors.safetensors").exists()


def test_a_round_done_again_gives_the_same_weights(runtime: Runtime) -> None:
    demonstrate(runtime, 4, "yes")
    folders = []
    for number in (1, 2):
        runtime.backbone.seed = 4
        _, outcome, _ = run(runtime, number)
        folders.append(local_path(runtime.home, outcome.artefacts["sft"]))
    files = [(folder / "adapter_model.safetensors").read_bytes() for folder in folders]
    assert files[0] == files[1]
