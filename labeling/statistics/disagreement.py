"""Where it hurts: tasks by how much their judgments disagree."""

import numpy as np
import pandas as pd

from labeling.reliability_models.rankings import Rankings

COLUMNS = ("task_id", "judgments", "agreement", "chance_of_dispute", "first", "second", "split")


def tasks_by_disagreement(rankings: Rankings, *, most: int | None = None) -> pd.DataFrame:
    """Return the tasks that two or more judged, the most disputed first, at most `most`.

    Columns: task_id; judgments; agreement (share of equal outcomes over every two judgments and
    pair of completions); chance_of_dispute, by which they are sorted: the share of disagreement
    with one agreement credited, so that five who disagree come before two; first and second, the
    positions of the pair that is disputed most; split, how many put first before second, tied
    them, and put second before first.
    """
    tables = [_of_block(block.tasks, block.task, block.outcome_counts(), block.pairs)
              for block in rankings.blocks]  # fmt: skip
    found = pd.concat(tables) if tables else pd.DataFrame(columns=list(COLUMNS))
    found = found.sort_values(
        ["chance_of_dispute", "judgments", "task_id"], ascending=[False, False, True]
    )
    return found.head(most if most is not None else len(found)).reset_index(drop=True)


def _of_block(
    tasks: np.ndarray,
    task: np.ndarray,
    counts: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
) -> pd.DataFrame:
    judgments = np.bincount(task, minlength=len(tasks))
    several = judgments > 1
    counts = counts[several]
    total = counts.sum(axis=2)
    equal = (counts * (counts - 1)).sum(axis=2) / 2
    both = total * (total - 1) / 2
    disputes = both - equal
    worst = disputes.argmax(axis=1)
    agreement = equal.sum(axis=1) / both.sum(axis=1)
    # Pairs of judgments, not pairs of completions, are what there can be more of.
    compared = both.mean(axis=1)
    split = counts[np.arange(len(counts)), worst].round().astype(int)
    return pd.DataFrame(
        {
            "task_id": tasks[several],
            "judgments": judgments[several],
            "agreement": agreement,
            "chance_of_dispute": (1 - agreement) * compared / (compared + 1),
            "first": pairs[0][worst],
            "second": pairs[1][worst],
            "split": pd.Series(split.tolist(), dtype=object),
        }
    )
