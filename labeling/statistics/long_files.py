"""Agreement of ratings in a file, one a line: of any tool's export, without a project."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from labeling.imports.row_files import Place, Row, RowShape, read_rows, text_of
from labeling.statistics.agreement import Level
from labeling.statistics.between_raters import agreement_with_others
from labeling.statistics.bootstrap import USUAL, Resampling
from labeling.statistics.figure import Figure
from labeling.statistics.measures import ranking_figures, rating_figures
from labeling.statistics.rankings import Rankings, RankingsOfOneK
from labeling.statistics.unit_counts import Answers

Ints = npt.NDArray[np.integer[Any]]

SHAPE = RowShape(
    things="ratings",
    columns=("task_id", "annotator_id", "item", "label", "rank", "ranks"),
    needs=(
        ("task_id", "annotator_id", "label"),
        ("task_id", "annotator_id", "item", "rank"),
        ("task_id", "annotator_id", "ranks"),
    ),
    lists=("ranks",),
    ending="",
)
_KINDS = ("label", "rank", "ranks")


@dataclass(frozen=True, eq=False)
class LongRatings:
    """Hold the ratings of a file, one entry a rated item.

    task, annotator, item, value: (N,) codes; `kind` is label, rank or ranks. `tasks`, `annotators`
    and `values` are what the codes stand for; values ascend where all of them are numbers.
    """

    kind: str
    task: Ints
    annotator: Ints
    item: Ints
    value: Ints
    tasks: tuple[str, ...]
    annotators: tuple[str, ...]
    values: tuple[Any, ...]


@dataclass(frozen=True)
class FileAgreement:
    """Hold the agreement of a file's ratings.

    `ratings` counts what one annotator said of one task; `annotators` has one row each:
    annotator_id, ratings, agreement (with all others; None without any), agreement_n. Measures that
    its kind of ratings does not allow have no value.
    """

    ratings: int
    tasks: int
    tasks_judged_twice: int
    figures: dict[str, Figure]
    annotators: pd.DataFrame


def read_long_file(path: Path) -> LongRatings:
    """Read a CSV, JSONL, JSON or Parquet file (also .gz) of ratings.

    Columns: task_id, annotator_id, and either label (with item where a task has several), or item
    and rank, or ranks: the list of all ranks of the task. Raises `BadInput` naming file, line and
    field where a line does not fit, says the same twice, or differs in kind from the first.
    """
    reader = _Reader()
    for entries in read_rows(path, SHAPE, reader.entries):
        reader.rows.extend(entries)
    table = pd.DataFrame(reader.rows, columns=["task", "annotator", "item", "value"])
    tasks, task_names = pd.factorize(table["task"])
    annotators, annotator_names = pd.factorize(table["annotator"], sort=True)
    # By name, so that the order of lines changes nothing: which of a pair is first is their order.
    items, _ = pd.factorize(table["item"], sort=True)
    values, names = _valued(table["value"].tolist())
    return LongRatings(
        kind=reader.kind or "label",
        task=tasks,
        annotator=annotators,
        item=items,
        value=values,
        tasks=tuple(task_names),
        annotators=tuple(annotator_names),
        values=names,
    )


def file_agreement(
    ratings: LongRatings, *, level: Level = "nominal", resampling: Resampling = USUAL
) -> FileAgreement:
    """Measure the agreement of ratings; `level` is that of labels, and ranks need none."""
    nothing = {
        name: Figure(None, 0, of)
        for name, of in (
            ("pairwise_agreement", "pairs of ratings"),
            ("krippendorff_alpha", "units rated twice or more"),
            ("kendall_w", "tasks ranked twice or more"),
        )
    }
    if ratings.kind == "label":
        nothing["kendall_w"] = Figure(None, 0, "tasks ranked twice or more: labels are no ranks")
        answers = label_answers(ratings)
        figures = rating_figures(answers, level=level, resampling=resampling)
    else:
        rankings = rankings_of_long(ratings)
        answers = rankings.pair_answers
        figures = ranking_figures(rankings, resampling=resampling)
    both = pd.DataFrame({"task": ratings.task, "annotator": ratings.annotator}).drop_duplicates()
    raters = both["task"].value_counts()
    return FileAgreement(
        ratings=len(both),
        tasks=len(raters),
        tasks_judged_twice=int((raters > 1).sum()),
        figures=nothing | figures,
        annotators=_annotators(ratings, both, agreement_with_others(answers)),
    )


def label_answers(ratings: LongRatings) -> list[Answers]:
    """Return the labels as answers, by how many items a task has."""
    values = np.array(ratings.values)
    return [
        Answers(task, rater, codes, values) for task, rater, codes in _matrices(ratings, none=-1)
    ]


def rankings_of_long(ratings: LongRatings) -> Rankings:
    """Return the ranks as rankings; a completion that an annotator has not ranked is missing."""
    ranked = LongRatings(**{**vars(ratings), "value": ratings.value + 1})
    return Rankings(
        tuple(
            RankingsOfOneK(task, rater, np.arange(len(task)), ranks)
            for task, rater, ranks in _matrices(ranked, none=0)
            if ranks.shape[1] > 1
        )
    )


class _Reader:
    """Turn rows into (task, annotator, item, value), and remember what has been said, and where."""

    def __init__(self) -> None:
        self.kind: str | None = None
        self.rows: list[tuple[str, str, str | int, Any]] = []
        self._said: dict[tuple[str, str, str | int], int] = {}
        self._lengths: dict[str, int] = {}

    def entries(self, row: Row, place: Place) -> list[tuple[str, str, str | int, Any]]:
        kind = self._kind_of(row, place)
        task, annotator = _name(row, "task_id", place), _name(row, "annotator_id", place)
        found: list[tuple[str | int, Any]]
        if kind == "ranks":
            found = list(enumerate(self._ranks(row["ranks"], task, place)))
        elif kind == "rank":
            found = [(_name(row, "item", place), _rank(row["rank"], place, "rank"))]
        else:
            name = "" if row.get("item") in (None, "") else _name(row, "item", place)
            found = [(name, _label(row["label"], place))]
        for item, _ in found:
            before = self._said.setdefault((task, annotator, item), place.number)
            if before != place.number:
                raise place.bad(
                    f"{annotator} has rated the same already in {place.unit} {before}", "task_id"
                )
        return [(task, annotator, item, value) for item, value in found]

    def _kind_of(self, row: Row, place: Place) -> str:
        kinds = [kind for kind in _KINDS if row.get(kind) not in (None, "")]
        if not kinds:
            wanted = self.kind or "label"
            raise place.bad(
                f"the {wanted} is missing; leave out the {place.unit}s of what was not rated",
                wanted,
            )
        if len(kinds) > 1 or (self.kind is not None and kinds[0] != self.kind):
            raise place.bad(
                "a file holds labels, or the rank of each item, or lists of ranks", kinds[-1]
            )
        self.kind = kinds[0]
        return kinds[0]

    def _ranks(self, value: object, task: str, place: Place) -> list[float]:
        if not isinstance(value, list) or len(value) < 2:
            raise place.bad("it must be a list of two ranks or more", "ranks")
        expected = self._lengths.setdefault(task, len(value))
        if len(value) != expected:
            raise place.bad(
                f"there are {len(value)} ranks, and an earlier {place.unit} has {expected} for "
                "this task",
                "ranks",
            )
        return [_rank(rank, place, f"ranks[{index}]") for index, rank in enumerate(value)]


def _name(row: Row, field: str, place: Place) -> str:
    value = row.get(field)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise place.bad("it must be text or a whole number", field)
    return text_of(str(value), place, field)


def _label(value: object, place: Place) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise place.bad("it must be a finite number", "label")
    if not isinstance(value, str | int | float):
        raise place.bad("it must be text, a number, or true or false", "label")
    return value


def _rank(value: object, place: Place, field: str) -> float:
    try:
        rank = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        rank = math.nan
    if isinstance(value, bool) or not math.isfinite(rank) or rank < 0:
        raise place.bad("it must be a number, 1 the best and equal for a tie", field)
    return rank


def _valued(values: list[Any]) -> tuple[Ints, tuple[Any, ...]]:
    """Return the codes of the values, and the values: as numbers where all of them are."""
    try:
        numbers = np.array([float(value) for value in values])
        numeric = bool(np.isfinite(numbers).all())
    except (ValueError, OverflowError):
        numeric = False
    found = numbers if numeric else np.array([str(value) for value in values], dtype=object)
    codes, names = pd.factorize(found, sort=True)
    return codes, tuple(names)


def _matrices(ratings: LongRatings, *, none: int) -> list[tuple[Ints, Ints, Ints]]:
    """Return task (N,), rater (N,) and values (N, P), tasks ascending, for each P items a task."""
    table = pd.DataFrame(
        {
            "task": ratings.task,
            "rater": ratings.annotator,
            "item": ratings.item,
            "value": ratings.value,
        }
    )
    units = table[["task", "item"]].drop_duplicates().sort_values(["task", "item"])
    units["place"] = units.groupby("task").cumcount()
    table = table.merge(units, on=["task", "item"])
    table["width"] = table.groupby("task")["place"].transform("max") + 1
    found: list[tuple[Ints, Ints, Ints]] = []
    for width, some in table.groupby("width"):
        heads = some[["task", "rater"]].drop_duplicates().sort_values(["task", "rater"])
        row = pd.MultiIndex.from_frame(heads).get_indexer(
            pd.MultiIndex.from_frame(some[["task", "rater"]])
        )
        matrix = np.full((len(heads), int(width)), none, dtype=np.int32)
        matrix[row, some["place"].to_numpy()] = some["value"].to_numpy()
        found.append((heads["task"].to_numpy(), heads["rater"].to_numpy(), matrix))
    return found


def _annotators(ratings: LongRatings, both: pd.DataFrame, agreement: pd.DataFrame) -> pd.DataFrame:
    codes = np.arange(len(ratings.annotators))
    values = agreement["agreement"].reindex(codes).astype(object)
    return pd.DataFrame(
        {
            "annotator_id": list(ratings.annotators),
            "ratings": both["annotator"].value_counts().reindex(codes, fill_value=0).to_numpy(),
            "agreement": values.where(values.notna(), None).to_numpy(),
            "agreement_n": agreement["n"].reindex(codes, fill_value=0).to_numpy(),
        }
    )
