"""Every measure of agreement under its name, as pages, commands and breakdowns show them."""

from collections.abc import Collection, Sequence

import numpy as np

from labeling.statistics.agreement import Level, krippendorff_alpha, pairwise_agreement
from labeling.statistics.between_raters import mean_cohen_kappa, rater_tables
from labeling.statistics.bootstrap import USUAL, Resampling, TaskSumsBuilder, figure_of, ratio
from labeling.statistics.figure import Figure
from labeling.statistics.kappa import fleiss_kappa, gwet_ac
from labeling.statistics.rank_correlation import (
    exact_order_agreement,
    kendall_tau_b,
    kendall_w,
    top_one_agreement,
)
from labeling.statistics.rankings import Rankings
from labeling.statistics.unit_counts import Answers, UnitCounts, together

#: What can be measured on rankings; the kappas and AC2's weights are on worse, tied, better.
RANKING_MEASURES = (
    "pairwise_agreement",
    "pairwise_without_ties",
    "krippendorff_alpha",
    "krippendorff_alpha_of_ranks",
    "fleiss_kappa",
    "cohen_kappa",
    "cohen_kappa_linear",
    "cohen_kappa_quadratic",
    "gwet_ac1",
    "gwet_ac2",
    "kendall_tau_b",
    "kendall_w",
    "exact_order",
    "top_one",
    "tie_share",
)
#: What can be measured on answers to a criterion, or on labels.
RATING_MEASURES = (
    "pairwise_agreement",
    "krippendorff_alpha",
    "fleiss_kappa",
    "cohen_kappa",
    "cohen_kappa_linear",
    "cohen_kappa_quadratic",
    "gwet_ac1",
    "gwet_ac2",
)


def ranking_figures(
    rankings: Rankings,
    *,
    names: Collection[str] = RANKING_MEASURES,
    resampling: Resampling = USUAL,
) -> dict[str, Figure]:
    """Return the named measures of rankings, in the order of `RANKING_MEASURES`.

    Of two completions the first is the one at the earlier task position. Positions are drawn, so
    that chance gives better and worse alike; where they are not, alpha and the kappas of pair
    outcomes take that order for a habit of the raters.
    """
    pairs = rankings.pair_counts
    measures = {
        "pairwise_agreement": lambda: pairwise_agreement(pairs, resampling=resampling),
        "pairwise_without_ties": lambda: pairwise_agreement(
            rankings.without_ties, resampling=resampling
        ),
        "krippendorff_alpha": lambda: krippendorff_alpha(pairs, "nominal", resampling=resampling),
        "krippendorff_alpha_of_ranks": lambda: krippendorff_alpha(
            rankings.rank_counts, "ordinal", resampling=resampling
        ),
        "fleiss_kappa": lambda: fleiss_kappa(pairs, resampling=resampling),
        "gwet_ac1": lambda: gwet_ac(pairs, resampling=resampling),
        "gwet_ac2": lambda: gwet_ac(pairs, "linear", resampling=resampling),
        "kendall_tau_b": lambda: kendall_tau_b(rankings, resampling=resampling),
        "kendall_w": lambda: kendall_w(rankings, resampling=resampling),
        "exact_order": lambda: exact_order_agreement(rankings, resampling=resampling),
        "top_one": lambda: top_one_agreement(rankings, resampling=resampling),
        "tie_share": lambda: tie_share(pairs, resampling=resampling),
    }
    found = {name: measure() for name, measure in measures.items() if name in names}
    found |= _cohen_kappas(rankings.pair_answers, names)
    return {name: found[name] for name in RANKING_MEASURES if name in found}


def rating_figures(
    answers: Sequence[Answers],
    *,
    level: Level,
    names: Collection[str] = RATING_MEASURES,
    resampling: Resampling = USUAL,
) -> dict[str, Figure]:
    """Return the named measures of answers, in the order of `RATING_MEASURES`.

    Krippendorff's alpha is of that level; nominal answers have no order, and so no weighted kappa
    and no AC2 (its weights here are quadratic).
    """
    counts = together([part.counts for part in answers])
    measures = {
        "pairwise_agreement": lambda: pairwise_agreement(counts, resampling=resampling),
        "krippendorff_alpha": lambda: krippendorff_alpha(counts, level, resampling=resampling),
        "fleiss_kappa": lambda: fleiss_kappa(counts, resampling=resampling),
        "gwet_ac1": lambda: gwet_ac(counts, resampling=resampling),
        "gwet_ac2": lambda: gwet_ac(counts, "quadratic", resampling=resampling),
    }
    found = {name: measure() for name, measure in measures.items() if name in names}
    found |= _cohen_kappas(answers, names)
    weighted = {"gwet_ac2", "cohen_kappa_linear", "cohen_kappa_quadratic"}
    left_out = weighted if level == "nominal" else set()
    return {name: found[name] for name in RATING_MEASURES if name in found and name not in left_out}


def tie_share(pairs: UnitCounts, *, resampling: Resampling = USUAL) -> Figure:
    """Return the share of ranked pairs that are tied, of tasks with one ranking too."""
    tied = pairs.values == 0
    builder = TaskSumsBuilder(resampling)
    for of_tasks in pairs.by_task(
        lambda counts: np.column_stack([counts[:, tied].sum(axis=1), counts.sum(axis=1)])
    ):
        builder.add(of_tasks)
    sums = builder.built()
    n = 0 if sums is None else round(sums.total[1])
    of = "ranked pairs"
    return figure_of(sums, ratio, n=n, of=of, resampling=resampling, least=0.0, trials=n)


def _cohen_kappas(answers: Sequence[Answers], names: Collection[str]) -> dict[str, Figure]:
    wanted = {
        "cohen_kappa": "unweighted",
        "cohen_kappa_linear": "linear",
        "cohen_kappa_quadratic": "quadratic",
    }
    if not any(name in names for name in wanted):
        return {}
    tables = rater_tables(answers)
    return {
        name: mean_cohen_kappa(tables, weights)  # type: ignore[arg-type]
        for name, weights in wanted.items()
        if name in names
    }
