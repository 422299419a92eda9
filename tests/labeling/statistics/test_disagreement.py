from labeling.reliability_models.rankings import rankings_of
from labeling.statistics.disagreement import tasks_by_disagreement


def test_the_most_disputed_task_comes_first_with_its_pair() -> None:
    said = [
        *[(1, one, [1, 2, 3]) for one in range(4)],
        *[(2, 0, [1, 2, 3]), (2, 1, [1, 2, 3]), (2, 2, [2, 1, 3]), (2, 3, [2, 1, 3])],
        *[(3, 0, [1, 2, 3]), (3, 1, [3, 2, 1])],
        (4, 0, [1, 2, 3]),
    ]
    tasks, raters, ranks = zip(*said, strict=True)
    found = tasks_by_disagreement(rankings_of(tasks, raters, list(ranks)))
    assert found["task_id"].tolist() == [3, 2, 1]
    disputed = found.iloc[1]
    assert (disputed["first"], disputed["second"], disputed["split"]) == (0, 1, [2, 0, 2])
    # Of six pairs of annotators four differ on one of three pairs of completions.
    assert disputed["agreement"] == 1 - 4 / 18
    assert tasks_by_disagreement(rankings_of(tasks, raters, list(ranks)), most=1).shape[0] == 1


def test_five_who_disagree_come_before_two() -> None:
    said = [(1, 0, [1, 2]), (1, 1, [2, 1]), *[(2, one, [1 + one % 2, 2 - one % 2])
            for one in range(6)]]  # fmt: skip
    tasks, raters, ranks = zip(*said, strict=True)
    found = tasks_by_disagreement(rankings_of(tasks, raters, list(ranks))).set_index("task_id")
    assert found.loc[1, "agreement"] == 0.0 and found.loc[2, "agreement"] == 1 - 9 / 15
    assert found.loc[2, "chance_of_dispute"] > found.loc[1, "chance_of_dispute"]


def test_no_task_with_two_judgments_no_row() -> None:
    assert tasks_by_disagreement(rankings_of([1], [1], [[1, 2]])).empty
    assert tasks_by_disagreement(rankings_of([], [], [])).empty
