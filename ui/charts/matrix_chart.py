"""Annotators beside annotators: a square whose cells say their figure in words, too."""

from functools import lru_cache

import altair
import pandas

from ui.charts.natural_order import natural
from ui.charts.ready_charts import Spec, filled, rows, written

CELL = 46
#: annotators that a square still has room for
MOST = 20
#: figures from here on are white on blue: that contrasts better than black
DARK = 0.72


def matrix(table: pandas.DataFrame, *, value: str, title: str, form: str, key: str) -> Spec:
    """Return a square of `value` by name and other; clicking on a cell selects it under `key`.

    `table` has a row for both orders of each two: annotator_id, other_id, name, other, n.
    """
    names = sorted(table["name"].unique(), key=natural)
    place = {name: number for number, name in enumerate(names)}
    table = table.assign(row=table["name"].map(place), column=table["other"].map(place))
    columns = ["annotator_id", "other_id", "name", "other", value, "n", "row", "column"]
    return filled(_spec(value, title, form, key), rows=table[columns])


@lru_cache(maxsize=8)
def _spec(value: str, title: str, form: str, key: str) -> Spec:
    clicked = altair.selection_point(name=key, fields=["annotator_id", "other_id"])
    across = altair.Axis(labelAngle=-40, labelLimit=220, labelOverlap=False, labelFlush=False)
    down = altair.Axis(labelLimit=220, labelOverlap=False, labelFlush=False)
    in_row, in_column = (altair.EncodingSortField(one, op="min") for one in ("row", "column"))
    base = altair.Chart(rows()).encode(
        x=altair.X("other:N", title=None, sort=in_column, axis=across),
        y=altair.Y("name:N", title=None, sort=in_row, axis=down),
        tooltip=["name:N", "other:N", altair.Tooltip(f"{value}:Q", title=title, format=form),
                 altair.Tooltip("n:Q", title="pairs that both ranked", format=",")],
    )  # fmt: skip
    scheme = altair.Scale(scheme="blues", domain=[0, 1])
    cells = base.mark_rect(cursor="pointer").encode(
        color=altair.Color(f"{value}:Q", scale=scheme, legend=None)
    )
    dark = altair.value("white")
    words = base.mark_text(fontSize=12).encode(
        text=altair.Text(f"{value}:Q", format=form),
        color=altair.condition(f"datum['{value}'] > {DARK}", dark, altair.value("#1b1f27")),
    )
    layers = cells.add_params(clicked) + words
    return written(layers.properties(width=altair.Step(CELL), height=altair.Step(CELL)))
