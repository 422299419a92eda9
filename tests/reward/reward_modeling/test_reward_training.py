"""Fitting the reward model: what it learns, how it is weighed, cut off, and short of memory."""

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reward.language_models.backbone import Backbone, load_backbone
from reward.reward_modeling.ranked_examples import CachedExample, RankedExample, cache_trunks
from reward.reward_modeling.reward_model import RewardModel, head_scores, pair_outcomes
from reward.reward_modeling.reward_settings import RewardSettings
from reward.reward_modeling.reward_training import (
    FitProgress,
    bootstrap_counts,
    check_examples,
    ranking_weights,
    rankings_sha256,
    train_reward_model,
)
from reward.training.processes import Processes
from reward.tuning.method import TUNINGS
from storage.errors import BadInput, Unavailable
from tests.reward.other_process import OtherAt
from tests.reward.ranked_tokens import ranked_tokens

QUICK = RewardSettings(learning_rate=1e-2, epochs=6)


def _weights(model: RewardModel) -> list[torch.Tensor]:
    own = [*model.backbone.parameters(model.adapter), *model.head_parameters()]
    return [parameter.detach().clone() for parameter in own]


def _fit(
    backbone: Backbone, examples: list[CachedExample], settings: RewardSettings, **more: object
) -> RewardModel:
    model = RewardModel.fresh(backbone, settings)
    train_reward_model(model, examples, settings, seed=0, **more)  # type: ignore[arg-type]
    return model


def _accuracy(model: RewardModel, examples: list[CachedExample]) -> float:
    right = [value for ranking in pair_outcomes(model, examples) for value in ranking]
    return sum(right) / len(right)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"heads": 1},
        {"pooling": "last"},
        {"loss": "margin"},
        {"loss": "score_difference"},
        {"loss": "plackett_luce"},
        {"label_smoothing": 0.1, "ties": "half"},
    ],
)
def test_it_learns_what_is_preferred(backbone: Backbone, changed: dict) -> None:
    losses: list[float] = []
    model = _fit(
        backbone,
        cache_trunks(backbone, ranked_tokens(60, 1)),
        replace(QUICK, **changed),
        on_step=lambda step, steps, metrics: losses.append(metrics["loss"]),
    )
    # The last state has to carry the count of all tokens, which mean pooling hands to the head.
    enough = 0.7 if changed.get("pooling") == "last" else 0.8
    assert _accuracy(model, cache_trunks(backbone, ranked_tokens(30, 2))) > enough
    assert losses[-1] < losses[0]


def test_the_heads_disagree_and_more_so_away_from_what_they_were_fitted_to(
    backbone: Backbone,
) -> None:
    examples = cache_trunks(backbone, ranked_tokens(40, 1))
    model = _fit(backbone, examples, QUICK)
    model.normalise(torch.cat(head_scores(model, examples), dim=1))

    def disagreement(rankings: list[RankedExample]) -> float:
        raw = torch.cat(head_scores(model, cache_trunks(backbone, rankings)), dim=1)
        return float(model._ensemble(raw)[1].mean())

    strange = [
        replace(one, answers=[[token + 60 for token in answer] for answer in one.answers])
        for one in ranked_tokens(40, 1)
    ]
    assert disagreement(ranked_tokens(40, 1)) > 0.01
    assert disagreement(strange) > 1.2 * disagreement(ranked_tokens(40, 1))


def test_all_ties_teach_nothing(backbone: Backbone) -> None:
    model = RewardModel(backbone)
    before = _weights(model)
    tied = cache_trunks(backbone, ranked_tokens(4, 0, ranks=[1, 1, 1, 1]))
    assert math.isnan(train_reward_model(model, tied, RewardSettings(), seed=0))
    assert all(map(torch.equal, before, _weights(model)))
    assert pair_outcomes(model, tied) == []


def test_rankings_of_one_prompt_share_a_bootstrap_and_one_weight(backbone: Backbone) -> None:
    first, second, third = ranked_tokens(3, 0)
    examples = [first, replace(second, group=0), replace(third, weight=0.5, group=7)]
    weights = ranking_weights(cache_trunks(backbone, examples), 1, 0)
    # The prompt of two rankings counts once, the reliability of one half counts half.
    assert weights.tolist() == [pytest.approx([1.0, 1.0, 1.0])]
    more = [*examples, *ranked_tokens(9, 1, first_group=9)]
    weights = ranking_weights(cache_trunks(backbone, more), 8, 0)
    assert torch.equal(weights[:, 0], weights[:, 1])
    torch.testing.assert_close(weights.mean(1), torch.ones(8))
    assert len({tuple(row.tolist()) for row in weights}) > 1


def test_bootstraps_depend_on_seed_and_prompt_and_draw_each_once_on_average() -> None:
    assert bootstrap_counts(3, 5, 4) == bootstrap_counts(3, 5, 4)
    assert bootstrap_counts(3, 5, 1) == [1]
    drawn = [count for group in range(500) for count in bootstrap_counts(0, group, 4)]
    assert sum(drawn) / len(drawn) == pytest.approx(1.0, abs=0.1)
    assert drawn.count(0) / len(drawn) == pytest.approx(math.exp(-1), abs=0.05)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_every_tuning_method_is_fitted_and_comes_back_from_disk(
    tiny_folder: Path, tmp_path: Path, tuning: str
) -> None:
    backbone = load_backbone(
        tiny_folder,
        device=torch.device("cpu"),
        dtype=torch.float32,
        top_layers=2,
        rank=4,
        tuning=tuning,
        virtual_tokens=4,
    )
    examples = cache_trunks(backbone, ranked_tokens(8, 1))
    fresh = head_scores(RewardModel.fresh(backbone, QUICK, "fresh"), examples)
    model = _fit(backbone, examples, replace(QUICK, epochs=2))
    scores = torch.cat(head_scores(model, examples), dim=1)
    assert torch.isfinite(scores).all() and scores.std() > torch.cat(fresh, dim=1).std()
    model.save(tmp_path)
    again = RewardModel.load(backbone, tmp_path, adapter="again")
    assert torch.equal(torch.cat(head_scores(again, examples), dim=1), scores)


class Killed(Exception):
    pass


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_a_fit_that_was_cut_off_ends_with_the_same_bits(
    backbone: Backbone, tmp_path: Path, seconds: float
) -> None:
    settings = replace(QUICK, epochs=2, progress_seconds=seconds)
    examples = cache_trunks(backbone, ranked_tokens(20, 1))
    whole = _weights(_fit(backbone, examples, settings))
    progress = FitProgress(tmp_path, "checkpoints/progress", "reward")
    heard: list[int] = []

    def killing(step: int, steps: int, metrics: dict[str, float]) -> None:
        heard.append(step)
        if len(heard) == 4:
            raise Killed

    with pytest.raises(Killed):
        _fit(backbone, examples, settings, on_step=killing, progress=progress)
    heard.append(-1)
    again = _fit(backbone, examples, settings, on_step=killing, progress=progress)
    assert all(map(torch.equal, whole, _weights(again)))
    resumed_at = 5 if seconds == 0.0 else 1
    assert heard == [1, 2, 3, 4, -1, *range(resumed_at, 11)]
    heard.clear()
    ended = _fit(backbone, examples, settings, on_step=killing, progress=progress)
    assert all(map(torch.equal, whole, _weights(ended)))
    assert heard == [], "a fit that ended is not made again"


def test_the_progress_of_another_fit_is_left_alone(backbone: Backbone, tmp_path: Path) -> None:
    examples = cache_trunks(backbone, ranked_tokens(20, 1))
    progress = FitProgress(tmp_path, "checkpoints/progress", "reward")
    _fit(backbone, examples, replace(QUICK, epochs=1), progress=progress)
    steps: list[int] = []
    _fit(
        backbone,
        examples,
        replace(QUICK, epochs=1, loss="plackett_luce"),
        progress=progress,
        on_step=lambda step, total, metrics: steps.append(step),
    )
    assert steps == [1, 2, 3, 4, 5]


def _turned(example: RankedExample) -> RankedExample:
    return replace(example, ranks=[5 - rank for rank in example.ranks])


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (_turned, 1),
        (lambda one: replace(one, prompt=[*one.prompt, 3]), 1),
        (lambda one: replace(one, weight=0.5), 1),
        (lambda one: replace(one, subset="another", judgment_id=7), 5),
    ],
)
def test_a_fit_to_other_rankings_begins_anew(
    backbone: Backbone, tmp_path: Path, change: Callable[[RankedExample], RankedExample], first: int
) -> None:
    settings = replace(QUICK, epochs=1, progress_seconds=0.0)
    rankings = ranked_tokens(20, 1, ranks=[1, 2, 3, 4])
    progress = FitProgress(tmp_path, "checkpoints/progress", "reward")
    heard: list[int] = []

    def killing(step: int, steps: int, metrics: dict[str, float]) -> None:
        heard.append(step)
        if len(heard) == 4:
            raise Killed

    with pytest.raises(Killed):
        _fit(
            backbone,
            cache_trunks(backbone, rankings),
            settings,
            on_step=killing,
            progress=progress,
        )
    heard.append(-1)
    others = cache_trunks(backbone, [change(one) for one in rankings])
    _fit(backbone, others, settings, on_step=killing, progress=progress)
    assert heard == [1, 2, 3, 4, -1, *range(first, 6)]


def test_all_that_a_fit_reads_of_a_ranking_is_in_its_hash() -> None:
    one = RankedExample([3], [[4, 5], [6]], [1, 2], 1)
    changed = [
        replace(one, prompt=[4]),
        replace(one, answers=[[4], [5, 6]]),
        replace(one, ranks=[2, 1]),
        replace(one, group=2),
        replace(one, weight=0.5),
        replace(one, strength=2.0),
        replace(one, scores=[2.0, 1.0]),
    ]
    two = [one, changed[0]]
    sides = [[one], *([other] for other in changed), two, two[::-1]]
    assert len({rankings_sha256(side) for side in sides}) == len(sides)
    assert rankings_sha256([one]) == rankings_sha256([replace(one, subset="s", judgment_id=1)])


@pytest.mark.parametrize(("mine", "other"), [(4, 4), (4, 0), (0, 4), (4, 2), (0, 0)])
def test_processes_go_on_from_one_step_or_not_at_all(
    backbone: Backbone, tmp_path: Path, mine: int, other: int
) -> None:
    settings = replace(QUICK, epochs=1, progress_seconds=0.0)
    examples = cache_trunks(backbone, ranked_tokens(20, 1))
    progress = FitProgress(tmp_path, "checkpoints/progress", "reward")
    heard: list[int] = []

    def killing(step: int, steps: int, metrics: dict[str, float]) -> None:
        heard.append(step)
        if step == mine:
            raise Killed

    if mine:
        with pytest.raises(Killed):
            _fit(backbone, examples, settings, on_step=killing, progress=progress)
        heard.clear()
    again = {"on_step": killing, "progress": progress, "processes": OtherAt(other)}
    if mine == other:
        _fit(backbone, examples, settings, **again)
        assert heard == [*range(mine + 1, 6)]
        return
    with pytest.raises(Unavailable, match="Not every process finds the progress that was kept"):
        _fit(backbone, examples, settings, **again)
    assert heard == []


@pytest.mark.parametrize("killed_at", [0, 2])
def test_no_gradient_outlives_a_fit(backbone: Backbone, killed_at: int) -> None:
    examples = cache_trunks(backbone, ranked_tokens(20, 1))
    model = RewardModel.fresh(backbone, QUICK)

    def killing(step: int, steps: int, metrics: Mapping[str, float]) -> None:
        assert all(one.grad is not None for one in model.head_parameters())
        if step == killed_at:
            raise Killed

    with pytest.raises(Killed) if killed_at else nullcontext():
        train_reward_model(model, examples, QUICK, seed=0, on_step=killing)
    own = [*backbone.parameters(model.adapter), *model.head_parameters()]
    assert [one.grad for one in own] == [None] * len(own)


def test_out_of_memory_halves_the_rankings_at_once_and_changes_nothing_else(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(QUICK, epochs=2)
    examples = cache_trunks(backbone, ranked_tokens(18, 1))
    whole = _weights(_fit(backbone, examples, settings))
    sizes: list[int] = []
    real = RewardModel.ranking_scores

    def small(self: RewardModel, rankings: list[CachedExample]) -> list[torch.Tensor]:
        sizes.append(len(rankings))
        if len(rankings) > 1:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate")
        return real(self, rankings)

    monkeypatch.setattr(RewardModel, "ranking_scores", small)
    halved = _weights(_fit(backbone, examples, settings))
    assert sizes[:4] == [4, 2, 1, 1]
    assert set(sizes[2:]) == {1}
    for one, other in zip(whole, halved, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_a_ranking_that_does_not_fit_alone_is_said(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(self: RewardModel, rankings: list[CachedExample]) -> list[torch.Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(RewardModel, "ranking_scores", none)
    with pytest.raises(Unavailable, match="not enough memory for one ranking"):
        _fit(backbone, cache_trunks(backbone, ranked_tokens(4, 1)), QUICK)


def test_a_loss_that_is_no_number_is_said(backbone: Backbone) -> None:
    model = RewardModel(backbone)
    model.head.weight.data.fill_(math.nan)
    with pytest.raises(BadInput, match="not a finite number"):
        train_reward_model(
            model, cache_trunks(backbone, ranked_tokens(4, 1)), RewardSettings(), seed=0
        )


def test_a_gradient_that_is_no_number_is_said(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = cache_trunks(backbone, ranked_tokens(4, 1))
    real = RewardModel.ranking_scores

    def steep(self: RewardModel, rankings: list[CachedExample]) -> list[torch.Tensor]:
        # The root is 0 at 0, and its slope is not finite there.
        return [one + one.abs().sqrt() for one in real(self, rankings)]

    monkeypatch.setattr(RewardModel, "ranking_scores", steep)
    with pytest.raises(BadInput, match=r"gradient is not a finite number; lower training\.reward"):
        train_reward_model(RewardModel(backbone), examples, RewardSettings(), seed=0)


def test_the_curve_says_how_the_fit_goes(backbone: Backbone) -> None:
    heard: list[dict[str, float]] = []
    _fit(
        backbone,
        cache_trunks(backbone, ranked_tokens(60, 1)),
        QUICK,
        on_step=lambda step, steps, metrics: heard.append(dict(metrics)),
    )
    # Every score is 0 before the first step.
    assert heard[0] == {
        "loss": pytest.approx(math.log(2)),
        "accuracy": 0.5,
        "margin": 0.0,
        "mean_reward": 0.0,
    }
    assert heard[-1]["accuracy"] > 0.7 and heard[-1]["margin"] > 0.1


class _TwoInTurn(Processes):
    """Process `rank` of two, which adds what the other left in `left` to its own gradients."""

    def __init__(self, rank: int, left: dict[int, list[torch.Tensor]]) -> None:
        super().__init__(rank, 2)
        self.left = left

    def sum(self, *numbers: float) -> list[float]:
        return list(numbers)

    def sum_gradients(self, parameters) -> None:  # type: ignore[no-untyped-def]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        self.left[self.rank] = grads
        for parameter, mine, other in zip(parameters, grads, self.left.get(0, grads), strict=True):
            parameter.grad = mine + other if self.rank == 1 else mine


def test_two_processes_make_one_step_together(backbone: Backbone) -> None:
    settings = replace(QUICK, epochs=1, heads=2)
    examples = cache_trunks(backbone, ranked_tokens(4, 1))
    alone = _weights(_fit(backbone, examples, settings))
    left: dict[int, list[torch.Tensor]] = {}
    _fit(backbone, examples, settings, processes=_TwoInTurn(0, left))
    together = _weights(_fit(backbone, examples, settings, processes=_TwoInTurn(1, left)))
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("examples", "reason"),
    [
        ([], "no ranking on training prompts"),
        (ranked_tokens(9, 0, ranks=[2, 2, 2, 2]), "all ties"),
        (ranked_tokens(1, 0, ranks=[1, 2, 3, 4]), "6 comparisons .* fewer than the 10"),
        (
            [RankedExample([5], [[7], [7]], [1, 2], group) for group in range(20)],
            "one class only",
        ),
    ],
)
def test_nothing_to_learn_is_said(examples: list[RankedExample], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        check_examples(examples, RewardSettings())


def test_enough_to_learn_passes() -> None:
    check_examples(ranked_tokens(3, 0, ranks=[1, 2, 3, 4]), RewardSettings())
