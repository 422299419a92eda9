"""Overlap of completions with demonstrations: ROUGE, BLEU and chrF, by their reference packages."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from reward.evaluating.intervals import Interval, bootstrap_mean

ROUGE = ("rouge1", "rouge2", "rougeL")


@dataclass(frozen=True)
class Overlap:
    """How like the demonstrations a policy's completions are; ROUGE in 0…1, the others in 0…100."""

    rouge1: Interval
    rouge2: Interval
    rouge_l: Interval
    bleu: float
    chrf: float


def overlap(
    completions: Sequence[Sequence[str]], demonstrations: Sequence[Sequence[str]], *, seed: int = 0
) -> Overlap | None:
    """Compare the completions of each prompt with its demonstrations; None where no prompt has any.

    ROUGE (Lin 2004) is the F1 of rouge-score with Porter's stemmer, by the demonstration that fits
    best, and its interval is over prompts; it counts Latin letters and digits only. BLEU (Papineni
    et al. 2002) and chrF (Popović 2015) are sacrebleu's, over all completions together.

    Args:
        completions: for each prompt, its completions.
        demonstrations: for each prompt, its demonstrations; prompts without one are left out.
        seed: of the bootstrap.
    """
    pairs = [
        (list(texts), list(references))
        for texts, references in zip(completions, demonstrations, strict=True)
        if references
    ]
    if not pairs:
        return None
    rouge = {
        name: bootstrap_mean(values, seed=seed, within=(0.0, 1.0))
        for name, values in _rouge(pairs).items()
    }
    hypotheses = [text for texts, _ in pairs for text in texts]
    references = [theirs for texts, theirs in pairs for _ in texts]
    bleu, chrf = _corpus_scores(hypotheses, references)
    return Overlap(rouge["rouge1"], rouge["rouge2"], rouge["rougeL"], bleu, chrf)


def _rouge(pairs: Sequence[tuple[list[str], list[str]]]) -> dict[str, list[list[float]]]:
    from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped, unused-ignore]

    scorer = RougeScorer(list(ROUGE), use_stemmer=True)
    found: dict[str, list[list[float]]] = {name: [] for name in ROUGE}
    for texts, references in pairs:
        scores = [scorer.score_multi(references, text) for text in texts]
        for name in ROUGE:
            found[name].append([float(one[name].fmeasure) for one in scores])
    return found


def _corpus_scores(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[float, float]:
    from sacrebleu.metrics import BLEU, CHRF

    # sacrebleu wants the first reference of every hypothesis, then the second, …; None for absent.
    streams = [list(stream) for stream in zip_longest(*references)]
    return (
        float(BLEU().corpus_score(hypotheses, streams).score),
        float(CHRF().corpus_score(hypotheses, streams).score),
    )
