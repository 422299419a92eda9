"""Where it hurts: tasks by disagreement, likely label errors, judgments that go in circles."""

from typing import Any

import pandas
import streamlit as st

from labeling.review.reviews import LETTERS
from labeling.statistics.judgments_behind import Selection
from labeling.statistics.where_it_hurts import WhereItHurts
from ui.charts.figure_table import figure_table
from ui.charts.shares import share

number = st.column_config.NumberColumn


def of_task(row: dict[str, Any]) -> Selection:
    """Return the judgments of the task of a row."""
    return Selection(task=int(row["task_id"]))


def disputed(found: WhereItHurts) -> None:
    """Draw the tasks that annotators disagree on most."""
    table = found.disputed
    if table.empty:
        return
    st.subheader("Tasks with most disagreement")
    pairs = [
        f"{LETTERS[row['first']]} or {LETTERS[row['second']]}: {' / '.join(map(str, row['split']))}"
        for row in table.to_dict("records")
    ]
    columns = {
        "task_id": "Task",
        "judgments": "Judgments",
        "agreement": share("Agreement"),
        "disputed": st.column_config.TextColumn(
            "Most disputed", help="How many put the first before, tied, put the second before"
        ),
    }
    figure_table(
        table.assign(disputed=pairs)[[*columns]], key="disputed-tasks", columns=columns,
        behind=of_task,
    )  # fmt: skip


def label_errors(found: WhereItHurts, names: dict[int, str]) -> None:
    """Draw the labels that a reward model which had not seen them contradicts most surely."""
    table = found.label_errors
    if table.empty:
        return
    st.subheader("Likely label errors")
    st.caption(
        "Pairs where a reward model that was not fitted to the label is sure of the contrary."
    )
    letters = [
        f"{LETTERS[row['better']]} before {LETTERS[row['worse']]}"
        for row in table.to_dict("records")
    ]
    shown = table.assign(annotator=table["annotator_id"].map(names), label=letters)
    columns = {
        "task_id": "Task",
        "annotator": "Annotator",
        "label": "Label",
        "probability": share("Model's chance of it"),
        "others_agree": "Others who say so",
        "others": "of",
    }
    figure_table(shown[[*columns]], key="likely-label-errors", columns=columns, behind=of_task)


def circles(found: WhereItHurts, names: dict[int, str]) -> None:
    """Draw majorities, and single annotators, whose preferences go round in a circle."""
    majority, own = found.majority_circles, found.own_circles
    if len(majority):
        st.subheader("Majorities that go in a circle")
        order = [
            " > ".join(LETTERS[row[each]] for each in ("first", "second", "third", "first"))
            for row in majority.to_dict("records")
        ]
        columns = {"task_id": "Task", "judgments": "Judgments", "circle": "Circle"}
        table = majority.assign(circle=order)[[*columns]]
        figure_table(table, key="majority-circles", columns=columns, behind=of_task)
    if len(own):
        st.subheader("Annotators who contradict themselves")
        table = pandas.DataFrame(
            {
                "annotator": own["annotator_id"].map(names),
                "tasks": [", ".join(map(str, tasks)) for tasks in own["tasks"]],
                "annotator_id": own["annotator_id"],
            }
        )
        figure_table(
            table, key="own-circles", columns={"annotator": "Annotator", "tasks": "In tasks"},
            hidden=["annotator_id"],
            behind=lambda row: Selection(annotator=int(row["annotator_id"])),
        )  # fmt: skip
