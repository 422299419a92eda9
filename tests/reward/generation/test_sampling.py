"""Sampling: the same tokens whatever shares the batch, seeds, the end token, the nucleus."""

from dataclasses import replace

import pytest
import torch

from reward.generation import sampling
from reward.generation.sampling import GREEDY, SamplingSettings, draw, sample
from reward.language_models.backbone import Backbone
from reward.language_models.padding import answered_batch
from reward.policy_optimization.logprobs import token_log_probs

PROMPTS = [[1, 20, 21, 22, 23], [1, 20, 40], [1, 20, 21, 22, 23], [1, 20, 50, 51]]
SETTINGS = SamplingSettings(max_new_tokens=8, temperature=1.0)


def _greedy(
    logits: torch.Tensor, settings: object, points: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    return logits.argmax(-1), torch.zeros(len(logits))


def test_a_batch_gives_what_each_prompt_gives_alone(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "draw", _greedy)
    together = sample(backbone, None, PROMPTS, SETTINGS, seed=0, batch_size=4)
    alone = [sample(backbone, None, [p], SETTINGS, seed=0, batch_size=1)[0] for p in PROMPTS]
    assert [one.ids for one in together] == [one.ids for one in alone]


def test_greedy_tokens_are_those_of_the_plain_forward(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "draw", _greedy)
    ids = list(PROMPTS[0])
    for token in sample(backbone, None, PROMPTS, SETTINGS, seed=0, batch_size=4)[0].ids:
        states = backbone.top(backbone.trunk(torch.tensor([ids])), None)
        assert token == int((states[0, -1] @ backbone.output_weight.T).argmax())
        ids.append(token)


def test_the_seed_decides(backbone: Backbone) -> None:
    one = sample(backbone, "policy", PROMPTS, SETTINGS, seed=1, batch_size=2)
    same = sample(backbone, "policy", PROMPTS, SETTINGS, seed=1, batch_size=2)
    other = sample(backbone, "policy", PROMPTS, SETTINGS, seed=2, batch_size=2)
    assert one == same != other


def test_an_answer_ends_at_the_end_token_and_only_there(backbone: Backbone) -> None:
    backbone.end_tokens = list(range(60))
    for one in sample(backbone, None, PROMPTS * 4, SETTINGS, seed=0, batch_size=16):
        assert one.ended == (one.ids[-1] < 60)
        assert all(token >= 60 for token in one.ids[:-1])
        assert one.ended or len(one.ids) == SETTINGS.max_new_tokens


def test_what_is_drawn_depends_on_the_number_of_a_prompt_not_on_its_batch(
    backbone: Backbone,
) -> None:
    whole = sample(backbone, None, PROMPTS, SETTINGS, seed=3, batch_size=4)
    parts = [
        sample(backbone, None, PROMPTS[start::2], SETTINGS, seed=3, batch_size=1, rows=rows)
        for start, rows in ((0, [0, 2]), (1, [1, 3]))
    ]
    assert [one.ids for one in whole] == [parts[i % 2][i // 2].ids for i in range(4)]


def test_too_little_memory_halves_the_batch(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = sample(backbone, None, PROMPTS * 2, SETTINGS, seed=3, batch_size=8)
    step = backbone.step

    def small(ids: torch.Tensor, *rest: object) -> torch.Tensor:
        if len(ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(ids, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(backbone, "step", small)
    found = sample(backbone, None, PROMPTS * 2, SETTINGS, seed=3, batch_size=8)
    assert [one.ids for one in found] == [one.ids for one in wanted]


def test_log_probs_are_those_of_the_plain_forward(backbone: Backbone) -> None:
    for prompt, one in zip(
        PROMPTS,
        sample(backbone, "policy", PROMPTS, SETTINGS, seed=5, batch_size=4),
        strict=True,
    ):
        batch = answered_batch([prompt], [one.ids], backbone.device)
        states = batch.predicting(backbone.top(backbone.trunk(batch.ids), "policy"))
        expected, _ = token_log_probs(states, backbone.output_weight, torch.tensor(one.ids))
        assert one.log_probs == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_point_at_the_edge_never_picks_what_has_no_probability() -> None:
    logits = torch.tensor([[0.0, 1.0, -torch.inf, -torch.inf]]).repeat(2, 1)
    edges = torch.tensor([0.0, 1.0 - 2.0**-24])
    for top_p in (1.0, 0.99):
        drawn, log_probs = draw(logits, replace(SETTINGS, top_p=top_p), edges)
        assert drawn.max() <= 1
        assert torch.isfinite(log_probs).all()


def _points(count: int) -> torch.Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(0))


def test_the_temperature_shapes_the_draw() -> None:
    logits = torch.tensor([[2.0, 0.0]]).repeat(20_000, 1)
    drawn, log_probs = draw(logits, replace(SETTINGS, temperature=2.0), _points(20_000))
    assert log_probs[drawn == 0][0].exp().item() == pytest.approx(0.7311, abs=1e-4)
    # σ(1) = 0.731
    assert (drawn == 0).float().mean().item() == pytest.approx(0.731, abs=0.012)


def test_the_nucleus_leaves_the_tail_out() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().repeat(20_000, 1)
    drawn, log_probs = draw(logits, replace(SETTINGS, top_p=0.75), _points(20_000))
    assert log_probs[drawn == 0][0].exp().item() == pytest.approx(0.625, abs=1e-4)
    counts = torch.bincount(drawn, minlength=4) / len(drawn)
    assert counts[2:].sum() == 0
    assert counts[0].item() == pytest.approx(0.625, abs=0.012)


def test_next_to_no_temperature_takes_the_first_of_the_largest_logits() -> None:
    # In half precision the two largest are often equal; a draw would go by its point.
    logits = torch.tensor([[0.0, 7.0, 7.0, 1.0], [3.0, 2.0, 3.0, 0.0]])
    for point in (0.01, 0.5, 0.99):
        settings = SamplingSettings(temperature=GREEDY)
        ids, log_probs = draw(logits, settings, torch.tensor([point, point]))
        assert ids.tolist() == [1, 0]
        assert log_probs.exp().tolist() == pytest.approx([0.5, 0.5])
    with pytest.raises(FloatingPointError, match="not finite"):
        draw(logits.fill_(float("nan")), settings, torch.tensor([0.5, 0.5]))
