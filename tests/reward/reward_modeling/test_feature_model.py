"""The feature-based reward model: what it learns, how sure it is, what it reads, what it keeps."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.numpy import load_file, save_file

from labeling.judging.rankings import dense_ranks
from reward.generation.conversations import answer_ids, prompt_ids
from reward.language_models.backbone import Backbone
from reward.language_models.padding import answered_batch
from reward.language_models.sentence_encoder import SentenceEncoder
from reward.reward_modeling.feature_choice import FeatureSettings, choose
from reward.reward_modeling.feature_model import FILE, WEIGHTS, FeatureRewardModel
from reward.reward_modeling.feature_space import BEYOND, FARTHEST, FeatureSpace, raw_features
from reward.reward_modeling.ranked_examples import RankedExample
from reward.reward_modeling.text_features import NAMES
from reward.reward_modeling.text_rankings import TextRanking, as_text, comparisons_of
from storage.errors import BadInput, Unavailable
from tests.reward.tiny_encoder import make_tiny_encoder

WORDS = ["time", "sea", "tree", "stone", "river", "cloud", "light", "bird", "field", "road"]
PLAIN = FeatureSettings(embeddings=())
SMALL = FeatureSettings(components=16, folds=3, heads=4)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SentenceEncoder:
    return SentenceEncoder(make_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny-encoder"))


def _rankings(
    count: int, better: Callable[[str], float], *, seed: int, noise: float = 0.0
) -> list[TextRanking]:
    """Rank four made-up texts of 2 to 20 words by `better`; some rankings are turned round."""
    random = numpy.random.default_rng(seed)
    found = []
    for group in range(count):
        texts = []
        for _ in range(4):
            words = random.choice(WORDS, size=random.integers(2, 21))
            texts.append(" ".join(words) + random.choice([".", "?", ""]))
        turned = -1 if random.random() < noise else 1
        ranks = dense_ranks([-turned * better(text) for text in texts])
        found.append(TextRanking(f"Say something about {group}.", texts, ranks, group))
    return found


def _long_and_short(count: int, *, seed: int) -> list[TextRanking]:
    """Rank four texts of about 10 words for one prompt, of about 200 for another: shorter wins."""
    random = numpy.random.default_rng(seed)
    found = []
    for group in range(count):
        base = (10, 200)[group % 2]
        sizes = [round(base * share) for share in random.uniform(0.85, 1.15, size=4)]
        texts = [" ".join(random.choice(WORDS, size=size)) for size in sizes]
        found.append(TextRanking(f"Say something about {group}.", texts, dense_ranks(sizes), group))
    return found


def _shorter(text: str) -> float:
    return -len(text.split())


def _accuracy(model: FeatureRewardModel, rankings: list[TextRanking]) -> float:
    margins = list(itertools.chain.from_iterable(model.pair_margins(rankings)))
    return sum(margin > 0 for margin in margins) / len(margins)


def test_a_length_preference_is_learned_through_noise() -> None:
    model = FeatureRewardModel.fit(_rankings(60, _shorter, seed=0, noise=0.2), PLAIN, seed=0)
    assert _accuracy(model, _rankings(50, _shorter, seed=1)) > 0.9


def test_embeddings_are_chosen_where_they_are_what_matters(encoder: SentenceEncoder) -> None:
    direction = numpy.random.default_rng(5).normal(size=encoder.width)

    def hidden(text: str) -> float:
        return float(encoder.encode([text])[0] @ direction)

    train, test = _rankings(60, hidden, seed=0), _rankings(30, hidden, seed=1)
    plain = FeatureRewardModel.fit(train, PLAIN, seed=0)
    model = FeatureRewardModel.fit(train, SMALL, seed=0, encoder=encoder)
    assert model.choice.scale > 0
    assert _accuracy(model, test) > _accuracy(plain, test) + 0.1


def test_wrong_labels_are_seen_to_be_there() -> None:
    sure = FeatureRewardModel.fit(_rankings(80, _shorter, seed=0), PLAIN, seed=0)
    unsure = FeatureRewardModel.fit(_rankings(80, _shorter, seed=0, noise=0.2), PLAIN, seed=0)
    assert (sure.choice.flips, unsure.choice.flips) == (0.0, 0.2)
    margins = [abs(m) for one in unsure.pair_margins(_rankings(9, _shorter, seed=1)) for m in one]
    # However clear a pair is, one label in five is expected to be wrong.
    assert max(margins) <= numpy.log(0.8 / 0.2) + 1e-6


def test_noise_without_order_wants_the_largest_penalty() -> None:
    random = numpy.random.default_rng(0)
    train = _rankings(60, lambda text: random.random(), seed=0)
    model = FeatureRewardModel.fit(train, PLAIN, seed=0)
    assert model.choice.penalty == max(PLAIN.penalties)
    assert model.choice.loss == pytest.approx(numpy.log(2), abs=0.05)


def test_scores_have_mean_0_and_deviation_1_and_follow_the_seed_alone() -> None:
    train = _rankings(30, _shorter, seed=0)
    prompts = [one.prompt for one in train for _ in one.completions]
    texts = [text for one in train for text in one.completions]
    scores = FeatureRewardModel.fit(train, PLAIN, seed=3).score_texts(prompts, texts)
    assert float(scores.mean()) == pytest.approx(0, abs=1e-4)
    assert float(scores.std()) == pytest.approx(1, abs=1e-4)
    again = FeatureRewardModel.fit(train, PLAIN, seed=3).score_texts(prompts, texts)
    other = FeatureRewardModel.fit(train, PLAIN, seed=4).score_texts(prompts, texts)
    assert torch.equal(scores, again)
    assert not torch.equal(scores, other)


def test_heads_disagree_where_rankings_do() -> None:
    texts = [text for one in _rankings(20, _shorter, seed=1) for text in one.completions]
    random = numpy.random.default_rng(0)

    def deviation(better: Callable[[str], float]) -> float:
        model = FeatureRewardModel.fit(_rankings(40, better, seed=0), PLAIN, seed=0)
        return float(model.uncertainty_of_texts(["Say."] * len(texts), texts)[1].mean())

    assert deviation(lambda text: random.random()) > 3 * deviation(_shorter)


def test_a_score_is_what_the_heads_are_sure_of() -> None:
    model = FeatureRewardModel.fit(_rankings(10, _shorter, seed=0), PLAIN, seed=0)
    asked, said = ["Say."] * 2, ["time sea?", "light"]
    mean, deviation = model.uncertainty_of_texts(asked, said)
    assert torch.allclose(model.score_texts(asked, said), mean - 0.25 * deviation)


def test_one_head_is_sure() -> None:
    model = FeatureRewardModel.fit(
        _rankings(20, _shorter, seed=0), FeatureSettings(embeddings=(), heads=1), seed=0
    )
    assert model.uncertainty_of_texts(["a"], ["time"])[1].tolist() == [0.0]


def test_token_ids_score_as_their_texts_do(encoder: SentenceEncoder, backbone: Backbone) -> None:
    settings = FeatureSettings(embeddings=("product",), scales=(2.0,), components=16)
    model = FeatureRewardModel.fit(
        _rankings(20, _shorter, seed=0),
        settings,
        seed=0,
        encoder=encoder,
        tokenizer=backbone.tokenizer,
    )
    said = [
        [{"role": "user", "content": "Why?"}],
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello."},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": "What is the sea?"},
        ],
    ]
    answers = ["A tree of stone.", "time sea? Yes"]
    end = backbone.end_tokens[0]
    ids = [prompt_ids(backbone.tokenizer, messages, "You are kind.") for messages in said]
    answered = [
        answer_ids(backbone.tokenizer, text, ended=ended, end_token=end)
        for text, ended in zip(answers, (True, False), strict=True)
    ]
    batch = answered_batch(ids, answered, torch.device("cpu"))
    mean, deviation = model.score_with_uncertainty(torch.empty(0), batch)
    wanted, spread = model.uncertainty_of_texts(said, answers)
    assert torch.allclose(mean, wanted, atol=1e-5)
    assert torch.allclose(deviation, spread, atol=1e-5)
    assert torch.allclose(
        model.score(torch.empty(0), batch), model.score_texts(said, answers), atol=1e-5
    )


def test_rankings_of_ids_become_rankings_of_text(backbone: Backbone) -> None:
    tokenizer = backbone.tokenizer
    prompt = prompt_ids(tokenizer, [{"role": "user", "content": "Why not?"}], "Be brief.")
    answers = [answer_ids(tokenizer, text, ended=True, end_token=2) for text in ("No.", "So.")]
    (found,) = as_text([RankedExample(prompt, answers, [2, 1], 7, weight=0.5)], tokenizer)
    assert found == TextRanking("Why not?", ["No.", "So."], [2, 1], 7, 0.5)


def test_without_a_tokenizer_ids_are_refused() -> None:
    model = FeatureRewardModel.fit(_rankings(10, _shorter, seed=0), PLAIN, seed=0)
    batch = answered_batch([[3]], [[4]], torch.device("cpu"))
    with pytest.raises(Unavailable, match="tokenizer"):
        model.score(torch.empty(0), batch)


def test_what_is_saved_scores_the_same(encoder: SentenceEncoder, tmp_path: Path) -> None:
    settings = FeatureSettings(embeddings=("completion",), scales=(2.0,), components=16)
    model = FeatureRewardModel.fit(
        _rankings(20, _shorter, seed=0), settings, seed=0, encoder=encoder
    )
    model.normalise(2 * model.raw_scores(["a"] * 3, ["time", "sea?", "tree tree tree."]))
    model.save(tmp_path)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".safetensors"]
    again = FeatureRewardModel.load(tmp_path, encoder=encoder)
    texts = ["a field of stone", "time?", ""]
    assert torch.equal(again.score_texts(["x"] * 3, texts), model.score_texts(["x"] * 3, texts))
    assert (again.settings, again.choice) == (model.settings, model.choice)


def test_a_model_without_embeddings_needs_no_encoder(
    encoder: SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FeatureSettings(scales=(0.0,))
    FeatureRewardModel.fit(_rankings(20, _shorter, seed=0), settings, seed=0).save(tmp_path)
    monkeypatch.setattr("reward.reward_modeling.feature_model.home_encoder", None)
    assert FeatureRewardModel.load(tmp_path).score_texts(["a"], ["time"]).shape == (1,)


def test_a_broken_or_older_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"feature_model\.json cannot be read"):
        FeatureRewardModel.load(tmp_path)
    FeatureRewardModel.fit(_rankings(10, _shorter, seed=0), PLAIN, seed=0).save(tmp_path)
    said = json.loads((tmp_path / FILE).read_text())
    said["text_features"].remove("words")
    (tmp_path / FILE).write_text(json.dumps(said))
    with pytest.raises(Unavailable, match="made with other features; fit it again"):
        FeatureRewardModel.load(tmp_path)


def test_all_ties_are_refused() -> None:
    with pytest.raises(BadInput, match="no ranking has a pair"):
        FeatureRewardModel.fit([TextRanking("a", ["b", "c"], [1, 1], 0)], PLAIN, seed=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"embeddings": ("prompt",)}, "embeddings"),
        ({"heads": 0}, "heads"),
        ({"folds": 1}, "folds"),
        ({"penalties": (0.0,)}, "penalties"),
        ({"flips": (0.5,)}, "flips"),
        ({"scales": ()}, "scales"),
    ],
)
def test_settings_without_sense_are_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        FeatureSettings(**change)  # type: ignore[arg-type]


def test_spreads_are_those_within_rankings() -> None:
    raw = numpy.zeros((4, len(NAMES) + 2))
    # The first feature differs between rankings only; the second by ±1 within them.
    raw[:, 0] = [5, 5, 9, 9]
    raw[:, 1] = [1, 3, 1, 3]
    raw[:, -2:] = [[3, 4], [-3, -4], [3, 4], [-3, -4]]
    space = FeatureSpace.of(
        raw, numpy.array([0, 0, 1, 1]), plain=True, width=2, scale=2.0, components=10
    )
    assert space.spread[0] == numpy.inf
    assert space.spread[1] == pytest.approx(1)
    # The embedding's variance is 25, and is to be 4.
    assert space.spread[-2:] == pytest.approx([2.5, 2.5])
    points = space.transform(raw)
    assert points[0] == pytest.approx(points[2])
    assert ((points[0] - points[1]) ** 2).sum() == pytest.approx(2**2 + 4**2)


def test_answers_to_prompts_far_apart_are_told_apart() -> None:
    model = FeatureRewardModel.fit(_long_and_short(80, seed=0), PLAIN, seed=0)
    assert _accuracy(model, _long_and_short(80, seed=1)) > 0.97


def test_a_feature_counts_up_to_three_spreads_beyond_what_was_ranked() -> None:
    raw = numpy.zeros((4, len(NAMES)))
    raw[:, 0] = [-101, -99, 99, 101]
    space = FeatureSpace.of(
        raw, numpy.array([0, 0, 1, 1]), plain=True, width=1, scale=0.0, components=10
    )
    seen = numpy.zeros((6, len(NAMES)))
    seen[:, 0] = [-200, -101 - BEYOND, -101, 101, 101 + BEYOND, 200]
    points = space.transform(seen)
    assert points[:, 0] * numpy.sign(points[-1, 0]) == pytest.approx(
        [-101 - BEYOND, -101 - BEYOND, -101, 101, 101 + BEYOND, 101 + BEYOND]
    )
    # What the caller gave is not clipped in place.
    assert seen[0, 0] == -200


def test_a_model_saved_without_limits_clips_as_it_was_fitted(tmp_path: Path) -> None:
    FeatureRewardModel.fit(_rankings(20, _shorter, seed=0), PLAIN, seed=0).save(tmp_path)
    state = load_file(tmp_path / WEIGHTS)
    del state["limits"]
    save_file(state, tmp_path / WEIGHTS)
    model = FeatureRewardModel.load(tmp_path)
    texts = ["time? " * 400, "tree.", ""]
    raw = raw_features(None, ["a"] * 3, texts, ())
    scaled = (raw - state["mean"]) / state["spread"]
    assert numpy.abs(scaled).max() > FARTHEST
    clipped = scaled.clip(-FARTHEST, FARTHEST) @ state["directions"] @ state["heads"].T
    assert model.raw_scores(["a"] * 3, texts).numpy() == pytest.approx(clipped.T, rel=1e-5)


def test_far_beyond_what_was_ranked_a_feature_counts_no_more() -> None:
    model = FeatureRewardModel.fit(_rankings(30, _shorter, seed=0), PLAIN, seed=0)
    long, longer = "? " * 10**4, "? " * 10**5
    scores = model.score_texts(["a"] * 2, [long, longer])
    assert float(scores[0]) == pytest.approx(float(scores[1]), abs=0.05)


def test_a_scale_of_zero_leaves_embeddings_out(encoder: SentenceEncoder) -> None:
    rankings = _rankings(20, _shorter, seed=0)
    prompts = [str(one.prompt) for one in rankings for _ in one.completions]
    texts = [text for one in rankings for text in one.completions]
    raw = raw_features(encoder, prompts, texts, ("completion", "difference", "joint"))
    assert raw.shape == (80, len(NAMES) + 3 * encoder.width)
    number = numpy.repeat(range(20), 4)
    settings = FeatureSettings(scales=(0.0,))
    _, space = choose(raw, number, comparisons_of(rankings), settings, width=encoder.width)
    assert numpy.isinf(space.spread[len(NAMES) :]).all()
    cut = space.cut(len(NAMES)).transform(raw[:, : len(NAMES)])
    assert space.transform(raw) == pytest.approx(cut)
