"""The round's reward step: what it leaves behind, and how it goes on after it was cut off."""

import shutil
from collections.abc import Mapping

import pytest
import torch

import reward.running.loop
from labeling.datasets.snapshots import read_snapshot
from labeling.model_annotators.out_of_fold import newest_unseen_pairs
from reward.generation.pool import PoolFiller
from reward.language_models.padding import answered_batch
from reward.policy_optimization.reward_scorer import load_reward_scorer
from reward.reward_modeling.reward_model import RewardModel
from reward.running.loop import STEPS, Loop
from reward.running.runtime import Runtime
from reward.steps.outcome import CannotTrain, StepContext, StepOutcome
from storage.blobs import local_path, verify
from storage.engine import build_engine, reading
from storage.settings import Settings
from storage.tables import Round, RoundState
from tests.reward.held_lease import held_lease

# Few rankings and samples, and a progress checkpoint after every optimiser step.
QUICK = {"newest_rankings": 12, "normalise_prompts": 2, "epochs": 4, "progress_seconds": 0.0}


def _loop(settings: Settings, **sizes: object) -> Loop:
    training = {**settings.training, "reward": {**settings.training["reward"], **sizes}}
    settings = settings.model_copy(update={"training": training})
    runtime = Runtime(build_engine(settings.url), settings)
    return Loop(runtime, held_lease(runtime), PoolFiller(runtime))


@pytest.fixture(autouse=True)
def _stop_after_the_reward_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(context: StepContext) -> StepOutcome:
        raise CannotTrain("Far enough.")

    monkeypatch.setitem(STEPS, RoundState.PPO, stop)  # type: ignore[arg-type]


def _run(loop: Loop) -> Round:
    one = loop.run_round_if_due()
    assert one is not None and one.reason == "Far enough.", one
    return one


def _weights(loop: Loop, one: Round, name: str) -> list[torch.Tensor]:
    folder = local_path(loop.runtime.home, one.artefacts[name])
    model = load_reward_scorer(loop.runtime.backbone, folder, adapter=name)
    assert isinstance(model, RewardModel)
    own = loop.runtime.backbone.parameters(name)
    return [*(p.detach().clone() for p in own), model.head.weight, model.shift, model.scale]


def test_it_leaves_two_reward_models_and_their_figures(judged: Settings) -> None:
    loop = _loop(judged, heads=3)
    one = _run(loop)
    for name in ("reward", "second_reward"):
        verify(loop.runtime.home, one.artefacts[name])
    first, second = (_weights(loop, one, name) for name in ("reward", "second_reward"))
    assert first[-1].shape == second[-1].shape == (3,)
    assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    metrics = one.metrics
    assert 0 <= metrics["reward_ece"] <= 0.5
    assert metrics["reward_loss_heldout"] > 0
    bins = metrics["reward_reliability"]
    assert sum(found["count"] for found in bins) == metrics["reward_pairs"]
    assert isinstance(metrics["reward_accuracy_by"], Mapping)


def test_heads_alone_leave_nothing_but_heads(judged: Settings) -> None:
    loop = _loop(judged, tuning="head", learning_rate=1e-2)
    one = _run(loop)
    folders = [local_path(loop.runtime.home, one.artefacts[n]) for n in ("reward", "second_reward")]
    for folder in folders:
        assert {file.name for file in folder.iterdir()} == {"head.safetensors", "manifest.json"}
    first, second = (load_reward_scorer(loop.runtime.backbone, folder) for folder in folders)
    assert isinstance(first, RewardModel)
    assert isinstance(second, RewardModel)
    assert not torch.equal(first.head.weight, second.head.weight)
    assert loop.runtime.backbone.tuning == "lora"


def test_the_references_own_completions_score_nought_on_average(
    judged: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import reward.steps.reward as step

    drawn = []
    real = step.reference_samples

    def remembering(*args, **more):  # type: ignore[no-untyped-def]
        drawn.extend(real(*args, **more))
        return drawn

    monkeypatch.setattr(step, "reference_samples", remembering)
    loop = _loop(judged, normalise_prompts=12)
    one = _run(loop)
    assert len(drawn) == 12
    backbone = loop.runtime.backbone
    model = load_reward_scorer(backbone, local_path(judged.home, one.artefacts["reward"]))
    batch = answered_batch(
        [x.prompt for x in drawn], [x.answers[0] for x in drawn], backbone.device
    )
    scores = model.score(backbone.trunk(batch.ids), batch)
    assert scores.mean().item() == pytest.approx(0.0, abs=1e-3)
    assert scores.std().item() == pytest.approx(1.0, abs=1e-3)


def test_it_leaves_what_models_think_of_labels_that_they_never_saw(judged: Settings) -> None:
    loop = _loop(judged, normalise_prompts=2)
    one = _run(loop)
    with reading(loop.runtime.engine) as session:
        pairs = newest_unseen_pairs(session, project_id=one.project_id, home=judged.home)
    rows = read_snapshot(one.artefacts["snapshot"], judged.home).set_index("judgment_id")
    assert set(pairs["judgment_id"]) == set(rows.index)
    assert len(pairs) == one.metrics["reward_pairs"]
    for pair in pairs.itertuples():
        ranks = rows.loc[pair.judgment_id, "ranks"]
        assert ranks[pair.better] < ranks[pair.worse]
    right = (pairs["probability"] > 0.5) + 0.5 * (pairs["probability"] == 0.5)
    assert right.mean() == pytest.approx(one.metrics["reward_accuracy"])


class Killed(BaseException):
    """What no step can catch."""


@pytest.mark.slow
def test_a_killed_step_goes_on_and_ends_with_the_same_weights(
    judged: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = tmp_path_factory.mktemp("copy") / "home"
    shutil.copytree(judged.home, copy)
    untouched = _loop(judged.model_copy(update={"home": copy}), **QUICK)
    whole = _run(untouched)
    loop = _loop(judged, **QUICK)
    real, calls, killed = reward.running.loop.record_point, [], []

    def dying(*args, **more):  # type: ignore[no-untyped-def]
        calls.append(more["step_index"])
        if len(calls) == 6 and not killed:
            killed.append(more["step_index"])
            raise Killed
        real(*args, **more)

    monkeypatch.setattr(reward.running.loop, "record_point", dying)
    with pytest.raises(Killed):
        loop.run_round_if_due()
    calls.clear()
    again = _loop(judged, **QUICK)
    one = _run(again)
    assert calls[0] > killed[0], "it went on where it was"
    for name in ("reward", "second_reward"):
        assert all(map(torch.equal, _weights(untouched, whole, name), _weights(again, one, name)))
    assert one.metrics["reward_accuracy"] == whole.metrics["reward_accuracy"]


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"min_comparisons": 10_000}, "training.reward.min_comparisons"),
        ({"learning_rate": 1e30}, "not a finite number"),
    ],
)
def test_what_cannot_be_trained_fails_the_round_with_its_reason(
    judged: Settings, sizes: dict, reason: str
) -> None:
    loop = _loop(judged, **{"normalise_prompts": 2, **sizes})
    one = loop.run_round_if_due()
    assert one is not None and one.state is RoundState.FAILED
    assert reason in one.reason
    assert "reward" not in one.artefacts
    assert loop.runtime.live_policy()[0].version == 1
