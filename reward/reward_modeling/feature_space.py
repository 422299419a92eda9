"""From texts to points: standardised text features and embeddings, in a few hundred directions.

What matters is how the completions of one ranking differ, so everything is measured by its spread
within rankings. Embeddings of a few hundred numbers would outvote the text features, so each block
of them has a fixed total variance. The directions of largest spread are kept (principal components
within rankings); a ridge penalty would shrink the others most anyway.
"""

from collections.abc import Sequence

import numpy

from reward.language_models.sentence_encoder import TextEncoder
from reward.reward_modeling.text_features import NAMES, text_feature_matrix

EMBEDDINGS = ("completion", "product", "difference", "joint")
SMALLEST_SPREAD = 1e-9
BEYOND = 3.0  # spreads beyond what was ranked up to which a text feature still counts
FARTHEST = 6.0  # spreads from the mean at which versions that kept no limits clipped


def raw_features(
    encoder: TextEncoder | None,
    prompts: Sequence[str],
    completions: Sequence[str],
    embeddings: Sequence[str],
) -> numpy.ndarray:
    """Return text features and the named embeddings of N completions side by side: (N, D).

    `completion` is the completion's embedding c, with the prompt's p: `product` p ∘ c, `difference`
    |p − c| (Conneau et al. 2017, §3.1); `joint` that of prompt and completion read as one text.
    """
    parts = [text_feature_matrix(prompts, completions)]
    if embeddings:
        assert encoder is not None
        answer = encoder.encode(completions)
        asked = encoder.encode(prompts) if {"product", "difference"} & set(embeddings) else answer
        for name in embeddings:
            if name == "completion":
                parts.append(answer)
            elif name == "product":
                parts.append(asked * answer)
            elif name == "difference":
                parts.append(numpy.abs(asked - answer))
            else:
                both = [f"{p}\n\n{c}" for p, c in zip(prompts, completions, strict=True)]
                parts.append(encoder.encode(both))
    return numpy.concatenate(parts, axis=1).astype(float)


class FeatureSpace:
    """An affine map of raw features (N, D) to points (N, R), chosen from training rankings."""

    def __init__(
        self,
        mean: numpy.ndarray,
        spread: numpy.ndarray,
        directions: numpy.ndarray,
        limits: numpy.ndarray | None = None,
    ) -> None:
        """Take mean (D,), spread (D,), directions (D, R) and limits (2, T).

        `limits` are the least and the greatest raw value of each of the T text features, to which
        it is clipped. None, for a space that was saved without them: `FARTHEST` spreads on either
        side of the mean, as such a space was fitted.
        """
        self.mean = mean
        self.spread = spread
        self.directions = directions
        if limits is None:
            middle, reach = mean[: len(NAMES)], FARTHEST * spread[: len(NAMES)]
            limits = numpy.stack([middle - reach, middle + reach])
        self.limits = limits

    @classmethod
    def of(
        cls,
        raw: numpy.ndarray,
        rankings: numpy.ndarray,
        *,
        plain: bool,
        width: int,
        scale: float,
        components: int,
    ) -> "FeatureSpace":
        """Choose the map from raw features (N, D) and the ranking's number (N,) of each row.

        Within rankings each text feature then has variance 1 (`plain` false leaves them out), and
        each embedding of `width` numbers `scale`² as a whole (0 leaves embeddings out). At most
        `components` directions are kept.
        """
        within = centred(raw, rankings)
        spread = _block_spreads(within, width, scale)
        if not plain:
            spread[: len(NAMES)] = numpy.inf
        scaled = within / spread
        values, vectors = numpy.linalg.eigh(scaled.T @ scaled)
        kept = min(components, int((values > SMALLEST_SPREAD).sum()))
        # Prompts differ more than the answers to one: clipped at some spreads from the mean, all
        # answers to a prompt far from it would be alike. What was ranked is therefore never
        # clipped; beyond it a straight line is a guess, and what a policy would climb.
        texts, margin = raw[:, : len(NAMES)], BEYOND * spread[: len(NAMES)]
        limits = numpy.stack([texts.min(axis=0) - margin, texts.max(axis=0) + margin])
        return cls(raw.mean(axis=0), spread, vectors[:, len(values) - kept :], limits)

    def transform(self, raw: numpy.ndarray) -> numpy.ndarray:
        """Return the points (N, R) of raw features (N, D)."""
        kept = raw.copy()
        kept[:, : len(NAMES)] = kept[:, : len(NAMES)].clip(*self.limits)
        points: numpy.ndarray = ((kept - self.mean) / self.spread) @ self.directions
        return points

    def cut(self, width: int) -> "FeatureSpace":
        """Return the map of the first `width` raw features alone, of which alone it made use."""
        return FeatureSpace(
            self.mean[:width], self.spread[:width], self.directions[:width], self.limits
        )


def centred(raw: numpy.ndarray, rankings: numpy.ndarray) -> numpy.ndarray:
    """Return rows (N, D) less the mean row of their ranking; `rankings` (N,) counts from 0."""
    sums = numpy.zeros((rankings.max() + 1, raw.shape[1]))
    numpy.add.at(sums, rankings, raw)
    return raw - (sums / numpy.bincount(rankings)[:, None])[rankings]


def _block_spreads(within: numpy.ndarray, width: int, scale: float) -> numpy.ndarray:
    spread: numpy.ndarray = within.std(axis=0)
    for start in range(len(NAMES), within.shape[1], width):
        whole = numpy.sqrt((spread[start : start + width] ** 2).sum())
        spread[start : start + width] = whole / scale if scale > 0 else numpy.inf
    # What never differed within a ranking says nothing: divided by infinity, it is 0 for good.
    return numpy.where(spread > SMALLEST_SPREAD, spread, numpy.inf)
