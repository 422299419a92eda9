"""The pairs of rankings as a table: what was said of every two completions."""

import numpy as np
import pandas as pd


def pair_rows(judged: pd.DataFrame) -> pd.DataFrame:
    """Return one row a judgment and pair of positions i < j; `judged` has lists in `ranks`.

    Columns: row (position of the judgment in `judged`), i, j, and outcome: 1 where i is ranked
    better, -1 where j is, 0 where they are tied.
    """
    lengths = judged["ranks"].map(len).to_numpy(dtype=int)
    parts = []
    for k in np.unique(lengths):
        rows = np.flatnonzero(lengths == k)
        ranks = np.array(judged["ranks"].iloc[rows].tolist(), dtype=int).reshape(len(rows), k)
        i, j = np.triu_indices(k, 1)
        parts.append(
            pd.DataFrame(
                {
                    "row": np.repeat(rows, len(i)),
                    "i": np.tile(i, len(rows)),
                    "j": np.tile(j, len(rows)),
                    "outcome": np.sign(ranks[:, j] - ranks[:, i]).ravel(),
                }
            )
        )
    if not parts:
        return pd.DataFrame({name: np.array([], int) for name in ("row", "i", "j", "outcome")})
    return pd.concat(parts).sort_values(["row", "i", "j"], ignore_index=True)
