import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from labeling.statistics.long_files import FileAgreement, file_agreement, read_long_file
from storage.errors import BadInput

DATA = Path(__file__).parent / "data"


def measured(file: Path, **options: str) -> FileAgreement:
    return file_agreement(read_long_file(file), **options)


def written(file: Path, rows: list[dict]) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if file.suffix == ".gz":
        with gzip.open(file, "wt") as opened:
            opened.write(lines)
    else:
        file.write_text(lines)
    return file


RANKS = [
    {"task_id": 1, "annotator_id": "a", "ranks": [1, 2, 2]},
    {"task_id": 1, "annotator_id": "b", "ranks": [1, 2, 3]},
    {"task_id": "2", "annotator_id": "a", "ranks": [2, 1]},
    {"task_id": "2", "annotator_id": "c", "ranks": [2, 1]},
    {"task_id": "3", "annotator_id": "a", "ranks": [1, 2]},
]


def test_pandalm() -> None:
    found = measured(DATA / "pandalm_multi_annotator.jsonl.gz")
    assert (found.ratings, found.tasks, found.tasks_judged_twice) == (2997, 999, 999)
    assert found.figures["pairwise_agreement"].value == pytest.approx(0.91991991991992)
    alpha = found.figures["krippendorff_alpha"]
    assert alpha.value == pytest.approx(0.8642206851960816)
    assert alpha.low < alpha.value < alpha.high and alpha.n == 999
    # Cohen's kappas of the three pairs are 0.8520, 0.8789 and 0.8617, of 999 units each.
    cohen = found.figures["cohen_kappa"].value
    assert cohen == pytest.approx((0.8520226785 + 0.8789438113 + 0.8616614541) / 3)
    assert found.figures["kendall_w"].value is None
    assert found.figures["kendall_w"].of.endswith("labels are no ranks")
    assert found.annotators["ratings"].tolist() == [999, 999, 999]


def test_lists_of_ranks(tmp_path: Path) -> None:
    found = measured(written(tmp_path / "ranks.jsonl.gz", RANKS))
    assert (found.ratings, found.tasks, found.tasks_judged_twice) == (5, 3, 2)
    # Of the first task's three pairs two agree, of the second's one.
    assert found.figures["pairwise_agreement"].value == pytest.approx(3 / 4)
    assert found.figures["pairwise_without_ties"].value == 1.0
    # W is 3/4 where one of two ties the first two of three, and 1 where both say the same.
    assert found.figures["kendall_w"].n == 2
    assert 0 < found.figures["kendall_w"].low <= found.figures["kendall_w"].value <= 1
    table = found.annotators.set_index("annotator_id")
    assert table["agreement"].to_dict() == pytest.approx({"a": 3 / 4, "b": 2 / 3, "c": 1.0})
    assert table["agreement_n"].to_dict() == {"a": 4, "b": 3, "c": 1}


def values_of(found: FileAgreement) -> dict[str, float | None]:
    return {name: figure.value for name, figure in found.figures.items()}


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_the_rank_of_each_item_is_the_same_in_every_file(tmp_path: Path, ending: str) -> None:
    rows = [
        {"task_id": str(row["task_id"]), "annotator_id": row["annotator_id"], "item": "xyz"[place],
         "rank": rank}
        for row in RANKS
        for place, rank in enumerate(row["ranks"])
    ]  # fmt: skip
    # In another order: what belongs together is found by its names.
    table = pd.DataFrame(rows).sample(frac=1, random_state=3)
    file = tmp_path / f"ranks.{ending}"
    if ending == "csv":
        table.to_csv(file, index=False)
    elif ending == "parquet":
        table.to_parquet(file)
    else:
        written(file, table.to_dict("records"))
    lists = measured(written(tmp_path / "lists.jsonl", RANKS))
    assert values_of(measured(file)) == pytest.approx(values_of(lists))


def test_a_csv_can_hold_lists(tmp_path: Path) -> None:
    file = tmp_path / "ranks.csv"
    table = pd.DataFrame(RANKS)
    table.assign(ranks=table["ranks"].map(json.dumps)).to_csv(file, index=False)
    assert measured(file).figures == measured(written(tmp_path / "r.jsonl", RANKS)).figures


def test_numbers_as_labels_have_an_order(tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    file.write_text("task_id,annotator_id,item,label\n" + "".join(
        f"{task},{who},{item},{score}\n"
        for task, item, scores in ((1, "x", (2, 10)), (1, "y", (10, 10)), (2, "x", (2, 2)))
        for who, score in zip("ab", scores, strict=True)
    ))  # fmt: skip
    ratings = read_long_file(file)
    # As text, 10 would come before 2.
    assert ratings.values == (2.0, 10.0)
    nominal, ordinal = (file_agreement(ratings, level=level) for level in ("nominal", "ordinal"))
    assert "gwet_ac2" in ordinal.figures and "gwet_ac2" not in nominal.figures
    assert ordinal.figures["pairwise_agreement"].value == pytest.approx(2 / 3)
    assert (ordinal.ratings, ordinal.tasks) == (4, 2)


def test_an_item_that_one_has_not_ranked(tmp_path: Path) -> None:
    rows = [("a", "x", 1), ("a", "y", 2), ("a", "z", 3), ("b", "x", 1), ("b", "y", 2)]
    file = written(
        tmp_path / "part.jsonl",
        [
            {"task_id": 1, "annotator_id": who, "item": item, "rank": rank}
            for who, item, rank in rows
        ],
    )
    found = measured(file)
    assert (found.figures["pairwise_agreement"].value, found.figures["pairwise_agreement"].n) == (
        *(1.0, 1),
    )
    assert found.figures["kendall_w"].value is None


BAD = [
    ({"task_id": 1, "annotator_id": "a"}, "line 2, field ranks: the ranks is missing"),
    ({"task_id": 1, "annotator_id": "a", "ranks": "1"}, "field ranks: it must be a list"),
    ({"task_id": 1, "annotator_id": "a", "ranks": [1]}, "field ranks: it must be a list"),
    ({"task_id": 1, "annotator_id": "b", "ranks": [1, 2]}, "2 ranks, and an earlier line has 3"),
    (
        {"task_id": 9, "annotator_id": "b", "ranks": [1, None]},
        r"field ranks\[1\]: it must be a num",
    ),
    (
        {"task_id": 9, "annotator_id": "b", "ranks": [1, True]},
        r"field ranks\[1\]: it must be a num",
    ),
    ({"task_id": 1, "annotator_id": "a", "ranks": [3, 2, 1]}, "rated the same already in line 1"),
    ({"task_id": None, "annotator_id": "b", "ranks": [1, 2]}, "field task_id: it must be text"),
    ({"task_id": 1, "annotator_id": "", "ranks": [1, 2]}, "field annotator_id: it must be text"),
    ({"task_id": "\ud800", "annotator_id": "b", "ranks": [1, 2]}, "half of a surrogate pair"),
    ({"task_id": 1, "annotator_id": "b", "label": "x"}, "field label: a file holds labels, or"),
]


@pytest.mark.parametrize(("row", "message"), BAD)
def test_a_bad_line_is_named(tmp_path: Path, row: dict, message: str) -> None:
    file = written(tmp_path / "bad.jsonl", [RANKS[0], row])
    with pytest.raises(BadInput, match=message) as raised:
        read_long_file(file)
    assert str(raised.value).startswith(f"{file}, line 2")


def test_a_bad_header_and_bad_ranks_of_a_csv(tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("task,annotator_id,label\n1,a,x\n")
    with pytest.raises(BadInput, match="line 1, field task_id: the header has no column"):
        read_long_file(file)
    file.write_text("task_id,annotator_id,item,rank\n1,a,x,first\n")
    with pytest.raises(BadInput, match="line 2, field rank: it must be a number"):
        read_long_file(file)
    file.write_text("task_id,annotator_id,item,rank\n")
    with pytest.raises(BadInput, match="holds no ratings"):
        read_long_file(file)
