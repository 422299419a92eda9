"""Consolidation: the rules by which the judgments of a task become one label."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from labeling.consolidation.majority import copeland_ranks, dissent, label_counts
from labeling.consolidation.ranked_pairs import ranked_pairs
from labeling.labeling_sections import ReliabilitySettings
from labeling.reliability_models.abilities import fit_pairs, rater_evidence
from labeling.reliability_models.bradley_terry import Abilities, order_probability
from labeling.reliability_models.crowd_bt import Comparisons, crowd_bradley_terry
from labeling.reliability_models.plackett_luce import plackett_luce
from labeling.reliability_models.rankings import Rankings, as_rankings, ranks_by_score

if TYPE_CHECKING:
    from labeling.statistics.judgment_columns import JudgmentColumns

#: Of one block after another: dense ranks (U, K) and uncertainty (U,).
Labels = list[tuple[np.ndarray, np.ndarray]]

COLUMNS = ("task_id", "ranks", "uncertainty", "judgments")


def consolidate(
    judged: "JudgmentColumns | pd.DataFrame",
    *,
    rule: str = "majority",
    weights: Mapping[int, float] | None = None,
    settings: ReliabilitySettings | None = None,
) -> pd.DataFrame:
    """Return one row a task, by task_id: its label, and how uncertain that is.

    Columns: task_id; ranks (list by task position, 1 is best, dense); uncertainty, the chance that
    a pair of the label is not as it says, mean over its pairs (docs/agreement.md says how each rule
    estimates it); judgments, how many it rests on. A task whose judgments all have weight 0 has no
    row; nothing is written anywhere.

    Args:
        judged: `JudgmentColumns`, or a table of task_id, annotator_id and ranks (lists), one row a
            judgment. Judgments of one task must rank the same number of completions.
        rule: one of `RULES`.
        weights: by annotator id, how much their judgments count; 1 for who is not named.
        settings: the project's `labeling.reliability`; None: the defaults.

    Raises `ValueError` for an unknown rule.
    """
    if rule not in _RULES:
        raise ValueError(f"there is no rule {rule}; the rules are {', '.join(RULES)}")
    rankings = as_rankings(judged, weights)
    labels = _RULES[rule](rankings, settings or ReliabilitySettings())
    tables = [
        pd.DataFrame(
            {
                "task_id": block.tasks,
                "ranks": ranks.tolist(),
                "uncertainty": uncertainty,
                "judgments": np.bincount(block.task, minlength=len(block.tasks)),
            }
        )
        for block, (ranks, uncertainty) in zip(rankings.blocks, labels, strict=True)
    ]
    if not tables:
        return pd.DataFrame({name: [] for name in COLUMNS}).astype({"uncertainty": float})
    return pd.concat(tables).sort_values("task_id", ignore_index=True)


def _majority(rankings: Rankings, settings: ReliabilitySettings) -> Labels:
    found = []
    for block in rankings.blocks:
        counts = block.outcome_counts()
        ranks = copeland_ranks(counts, block.k)
        found.append((ranks, dissent(counts, ranks, credit=settings.unseen_votes)))
    return found


def _ranked_pairs(rankings: Rankings, settings: ReliabilitySettings) -> Labels:
    found = []
    for block in rankings.blocks:
        ranks = ranked_pairs(block.wins())
        counts = block.outcome_counts()
        found.append((ranks, dissent(counts, ranks, credit=settings.unseen_votes)))
    return found


def _dawid_skene(rankings: Rankings, settings: ReliabilitySettings) -> Labels:
    if not rankings.blocks:
        return []
    right, wrong = settings.prior_counts
    posterior = fit_pairs(rankings, prior_right=right, prior_wrong=wrong).posterior
    found, first = [], 0
    for block in rankings.blocks:
        pairs = len(block.pairs[0])
        units = len(block.tasks) * pairs
        shares = posterior[first : first + units].reshape(-1, pairs, posterior.shape[1])
        first += units
        ranks = copeland_ranks(shares, block.k)
        found.append((ranks, 1.0 - label_counts(shares, ranks).mean(axis=1)))
    return found


def _bradley_terry(rankings: Rankings, settings: ReliabilitySettings) -> Labels:
    fitted = crowd_bradley_terry(
        [Comparisons.of_block(block) for block in rankings.blocks],
        raters=len(rankings.raters),
        precision=settings.score_precision,
        ability=_abilities(rankings, settings),
    )
    return [
        _by_scores(scores, covariance)
        for scores, covariance in zip(fitted.scores, fitted.covariance, strict=True)
    ]


def _plackett_luce(rankings: Rankings, settings: ReliabilitySettings) -> Labels:
    # By as much as the rater is better than a coin: what a coin says of a ranking is nothing.
    sure = np.maximum(0.0, 2 * _abilities(rankings, settings) - 1)
    found = []
    for block in rankings.blocks:
        fitted: Abilities = plackett_luce(block.weighed(sure), prior_shape=settings.gamma_shape)
        found.append(_by_scores(fitted.scores, fitted.covariance))
    return found


def _abilities(rankings: Rankings, settings: ReliabilitySettings) -> np.ndarray:
    right, wrong = settings.prior_counts
    evidence = rater_evidence(rankings, prior_right=right, prior_wrong=wrong)
    return evidence.ability(prior_right=right, prior_wrong=wrong)


def _by_scores(scores: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ranks by score, and the mean chance that a pair's scores lie the other way round."""
    ranks = ranks_by_score(scores, same=1e-6)
    first, second = np.triu_indices(scores.shape[1], 1)
    before = order_probability(scores, covariance)[:, first, second]
    return ranks, np.minimum(before, 1.0 - before).mean(axis=1)


_RULES: dict[str, Callable[[Rankings, ReliabilitySettings], Labels]] = {
    "majority": _majority,
    "dawid_skene": _dawid_skene,
    "bradley_terry": _bradley_terry,
    "plackett_luce": _plackett_luce,
    "ranked_pairs": _ranked_pairs,
}
RULES = tuple(_RULES)
