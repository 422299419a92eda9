import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from labeling.judging.rankings import pairs_of, ties_of
from labeling.statistics.pair_rows import pair_rows

rankings = st.lists(
    st.integers(2, 9).flatmap(lambda k: st.lists(st.integers(1, k), min_size=k, max_size=k)),
    max_size=8,
)


@given(rankings)
def test_vectorised_pairs_equal_those_of_each_ranking(ranks: list[list[int]]) -> None:
    found = pair_rows(pd.DataFrame({"ranks": pd.Series(ranks, dtype=object)}))
    for row, ranking in enumerate(ranks):
        mine = found[found["row"] == row]
        better = [
            (i, j) if outcome > 0 else (j, i)
            for i, j, outcome in zip(mine["i"], mine["j"], mine["outcome"], strict=True)
            if outcome
        ]
        tied = mine[mine["outcome"] == 0]
        assert better == pairs_of(ranking)
        assert list(zip(tied["i"], tied["j"], strict=True)) == ties_of(ranking)
