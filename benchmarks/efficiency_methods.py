"""Ways to fit a reward model, each a function from rankings to score differences on others.

`feature`: sentence embeddings and plain numbers of the text, a linear model. `head`: the backbone
frozen, a linear head on its states (what `tuning = head` trains, at its optimum). Every other name
is a tuning method of the backbone (`head by gradient`: `tuning = head`), fitted by
`reward/reward_modeling/reward_training.py` with the settings of the CPU profile. Seconds are the
processor's, so that other work on the machine does not count, and leave out what is done once for a
text: its embedding, or its pass through the frozen layers.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy
import torch

from benchmarks.efficiency_data import Ranked
from reward.generation.conversations import answer_ids, prompt_ids
from reward.language_models.backbone import Backbone, load_backbone
from reward.language_models.embedding_cache import EmbeddingCache
from reward.language_models.models import model_folder
from reward.language_models.profiles import training_profile
from reward.language_models.sentence_encoder import SentenceEncoder, prepare_encoder
from reward.reward_modeling.feature_choice import FeatureSettings, choose, fit_heads
from reward.reward_modeling.feature_model import FeatureRewardModel
from reward.reward_modeling.feature_space import centred
from reward.reward_modeling.packing import pack_ranking
from reward.reward_modeling.ranked_examples import CachedExample, RankedExample, ranked_anew
from reward.reward_modeling.reward_model import (
    RewardModel,
    cache_examples,
    pair_margins,
    reads_bare_model,
)
from reward.reward_modeling.reward_settings import RewardSettings
from reward.reward_modeling.reward_training import train_reward_model
from reward.reward_modeling.text_features import NAMES
from reward.reward_modeling.text_rankings import TextRanking, comparisons_of
from storage.settings import load_settings

Margins = list[list[float]]
Method = Callable[[Sequence[Ranked], Sequence[Ranked], int], tuple[Margins, float]]

STATES = "states.safetensors"
LAYERS = {"last": 0, "middle": 1}
POOLINGS = {"mean": 0, "last": 1}
FEATURES = {
    "feature": FeatureSettings(),
    "feature, numbers alone": FeatureSettings(embeddings=()),
    "feature, embeddings alone": FeatureSettings(plain=False, scales=(3.0,)),
    "feature, with products": FeatureSettings(embeddings=("completion", "product")),
    "feature, joint": FeatureSettings(embeddings=("completion", "joint")),
}
HEADS = tuple(f"head, {pooling} {layer}" for layer in LAYERS for pooling in POOLINGS)
BY_GRADIENT = "head by gradient"
# Fields of RewardSettings laid over the profile's: pooling, losses and ensembles.
VARIANTS: dict[str, dict[str, object]] = {
    "": {},
    ", one head": {"heads": 1},
    ", last token": {"pooling": "last"},
    ", Plackett-Luce": {"loss": "plackett_luce"},
    ", margin": {"loss": "margin"},
    ", score difference": {"loss": "score_difference"},
    ", smoothed": {"label_smoothing": 0.2},
}
# A head alone costs next to nothing once the texts were read, so every variant can have its curve.
TRAINED: dict[str, tuple[str, dict[str, object]]] = {
    **{BY_GRADIENT + variant: ("head", own) for variant, own in VARIANTS.items()},
    **{"lora" + variant: ("lora", own) for variant, own in VARIANTS.items()},
    **{tuning: (tuning, {}) for tuning in ("full", "prompt", "prefix", "adapter", "bitfit")},
    **dict.fromkeys(("lora, top 12 layers", "lora, all layers"), ("lora", {})),
}
# How many of the top layers are trained, where that is not the profile's; 0: all of them.
TOP_LAYERS = {"lora, top 12 layers": 12, "lora, all layers": 0}
CHEAP = (*FEATURES, *HEADS)


@dataclass
class Workshop:
    """Models that are loaded when a method first asks for them, and what they computed."""

    work: Path
    model: str
    #: what the frozen layers made of a ranking, by their number, the pooling and its texts
    read: dict[tuple[int, str, str], CachedExample] = field(default_factory=dict)

    @cached_property
    def encoder(self) -> SentenceEncoder:
        folder = prepare_encoder(self.work / "home", lambda what, share: None)
        return SentenceEncoder(folder, cache_file=self.work / "embeddings.safetensors")

    def backbone(self, tuning: str, layers: int) -> Backbone:
        settings = load_settings(home=self.work / "home", model=self.model)
        rank = training_profile(torch.device("cpu")).rank
        return load_backbone(
            model_folder(settings, lambda what, share: None),
            device=torch.device("cpu"),
            dtype=torch.float32,
            top_layers=layers,
            rank=rank,
            tuning=tuning,
        )

    @cached_property
    def halved(self) -> Backbone:
        """The backbone cut in the middle, so that its trunk gives the middle layer's states."""
        return self.backbone("lora", 15)

    @cached_property
    def untouched(self) -> Backbone:
        """The backbone of heads alone, which one fit leaves to the next as it was."""
        return self.backbone("head", 0)

    @cached_property
    def states(self) -> EmbeddingCache:
        cache = EmbeddingCache(limit=100_000)
        cache.load(self.work / STATES)
        return cache

    def method(self, name: str) -> Method:
        """Return the method called `name`."""
        if name in FEATURES:
            return lambda train, test, seed: self._feature(FEATURES[name], train, test, seed)
        if name in HEADS:
            return lambda train, test, seed: self._head(name, train, test, seed)
        if name in TRAINED:
            return lambda train, test, seed: self._trained(name, train, test, seed)
        raise SystemExit(f"There is no method {name}; use {', '.join([*CHEAP, *TRAINED])}.")

    # -- features ------------------------------------------------------------------------------

    def _feature(
        self,
        settings: FeatureSettings,
        train: Sequence[Ranked],
        test: Sequence[Ranked],
        seed: int,
    ) -> tuple[Margins, float]:
        if settings.embeddings:
            # Before the clock starts: a text is encoded once, however often it is fitted.
            self._encode([*train, *test])
        began = time.process_time()
        encoder = self.encoder if settings.embeddings else None
        model = FeatureRewardModel.fit(_texts(train), settings, seed=seed, encoder=encoder)
        seconds = time.process_time() - began
        return model.pair_margins(_texts(test)), seconds

    def _encode(self, rankings: Sequence[Ranked]) -> None:
        missing = self.encoder.cache.missing([t for one in rankings for t in one.completions])
        began = time.process_time()
        for start in range(0, len(missing), 512):
            self.encoder.encode(missing[start : start + 512])
            self.encoder.keep()
        if missing:
            print(
                f"{len(missing)} texts encoded in {time.process_time() - began:.0f} s", flush=True
            )

    # -- a head on frozen states ---------------------------------------------------------------

    def _head(
        self, name: str, train: Sequence[Ranked], test: Sequence[Ranked], seed: int
    ) -> tuple[Margins, float]:
        pooling, layer = name.removeprefix("head, ").split()
        place = 2 * LAYERS[layer] + POOLINGS[pooling]
        seen, unseen = self._states_of(train, place), self._states_of(test, place)
        began = time.process_time()
        settings = FeatureSettings(plain=False, scales=(1.0, 3.0, 10.0), heads=1)
        number = numpy.repeat(range(len(train)), [len(one.completions) for one in train])
        comparisons = comparisons_of(_texts(train))
        # A few coordinates of a language model's states are far larger than all others.
        spread = centred(seen, number).std(axis=0) + 1e-9
        seen, unseen = seen / spread, unseen / spread
        choice, space = choose(
            seen, number, comparisons, settings, width=seen.shape[1] - len(NAMES)
        )
        differences = comparisons.differences(space.transform(seen))
        (head,) = fit_heads(differences, comparisons, choice, heads=1, seed=seed)
        seconds = time.process_time() - began
        return _margins(space.transform(unseen) @ head, _texts(test)), seconds

    def _states_of(self, rankings: Sequence[Ranked], place: int) -> numpy.ndarray:
        """Return pooled states (N, H) with empty columns where plain numbers would stand."""
        self.read_states(rankings)
        rows = []
        for one in rankings:
            for text in one.completions:
                found = self.states.get(_key(one, text))
                assert found is not None
                rows.append(found.reshape(4, -1)[place])
        states = numpy.stack(rows).astype(float)
        return numpy.concatenate([numpy.zeros((len(rows), len(NAMES))), states], axis=1)

    def read_states(self, rankings: Sequence[Ranked]) -> None:
        """Run the frozen backbone over what it has not read yet, and keep mean and last states."""
        fresh = [
            one
            for one in rankings
            if self.states.missing([_key(one, text) for text in one.completions])
        ]
        for done, one in enumerate(fresh, start=1):
            keys = [_key(one, text) for text in one.completions]
            self.states.put(keys, self._pooled(one))
            if done % 50 == 0 or done == len(fresh):
                self.states.save(self.work / STATES)
                print(f"states of {done} of {len(fresh)} rankings read", flush=True)

    @torch.no_grad()
    def _pooled(self, one: Ranked) -> numpy.ndarray:
        backbone = self.halved
        example = self._example(backbone, one)
        packed = pack_ranking(example.prompt, example.answers, backbone.device)
        middle = backbone.trunk(packed.ids, packed.layout)
        last = backbone.top(middle, None, packed.layout)
        parts = []
        for states in (last[0], middle[0]):
            parts += [packed.mean_by_answer(states), packed.last_by_answer(states)]
        pooled: numpy.ndarray = torch.stack(parts, dim=1).flatten(1).numpy()
        return pooled

    # -- trained by gradient -------------------------------------------------------------------

    def _trained(
        self, name: str, train: Sequence[Ranked], test: Sequence[Ranked], seed: int
    ) -> tuple[Margins, float]:
        tuning, own = TRAINED[name]
        # Told of the method, for each has a learning rate of its own.
        profile = training_profile(torch.device("cpu"), {"backbone": {"tuning": tuning}})
        untouched = tuning == "head"
        layers = TOP_LAYERS.get(name, profile.top_layers)
        backbone = self.untouched if untouched else self.backbone(tuning, layers)
        backbone.seed = seed
        settings = replace(profile.reward, **own)  # type: ignore[arg-type]
        seen = self._read_once(backbone, settings, train)
        began = time.process_time()
        model = RewardModel.fresh(backbone, settings)
        train_reward_model(model, seen, settings, seed=seed)
        seconds = time.process_time() - began
        return pair_margins(model, self._read_once(backbone, settings, test)), seconds

    def _read_once(
        self, backbone: Backbone, settings: RewardSettings, rankings: Sequence[Ranked]
    ) -> list[CachedExample]:
        """Return rankings as a fit takes them; texts go through the frozen layers only once."""
        pooling = settings.pooling if reads_bare_model(backbone, settings) else ""
        found = []
        for one in rankings:
            example = self._example(backbone, one)
            place = (backbone.split, pooling, _key(one, "\n\n".join(one.completions)))
            if place not in self.read:
                (self.read[place],) = cache_examples(backbone, [example], settings)
            found.append(ranked_anew(self.read[place], example))
        return found

    @staticmethod
    def _example(backbone: Backbone, one: Ranked) -> RankedExample:
        tokenizer = backbone.tokenizer
        system = load_settings(home=Path()).system_prompt
        prompt = prompt_ids(tokenizer, one.messages, system)
        end = backbone.end_tokens[0]
        answers = [
            answer_ids(tokenizer, text, ended=ended, end_token=end)
            for text, ended in zip(one.completions, one.ended, strict=True)
        ]
        return RankedExample(prompt, answers, one.ranks, one.group)


def _texts(rankings: Sequence[Ranked]) -> list[TextRanking]:
    return [TextRanking(one.messages, one.completions, one.ranks, one.group) for one in rankings]


def _margins(scores: numpy.ndarray, rankings: Sequence[TextRanking]) -> Margins:
    found, first = [], 0
    for one in rankings:
        found.append([float(scores[first + b] - scores[first + w]) for b, w in one.pairs])
        first += len(one.completions)
    return found


def _key(one: Ranked, text: str) -> str:
    said = "\n".join(f"{message['role']}: {message['content']}" for message in one.messages)
    return f"{said}\n\n{text}"
