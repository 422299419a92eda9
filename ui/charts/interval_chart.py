"""Points with their intervals, one line each, that can be read without colour."""

import textwrap
from functools import lru_cache

import altair
import pandas

from ui.charts.ready_charts import Spec, filled, rows, written

ROW = 26
#: letters of an axis's title that a phone has room for
LINE = 44
#: rows that a chart shows; the table under it has all
MOST = 25


def intervals(
    table: pandas.DataFrame,
    *,
    name: str,
    title: str,
    form: str = ".2f",
    value: str = "value",
    low: str = "low",
    high: str = "high",
    chance: str | None = None,
    domain: tuple[float, float] | None = None,
    most: int = MOST,
) -> Spec:
    """Return one labelled point with its interval for each row, in the table's order.

    `name`, `value`, `low` and `high` are columns. `chance` is a column drawn as a short vertical
    tick: what the value would be by chance. Rows without a value are left out, and those after the
    first `most`.
    """
    shown = table[table[value].notna()].head(most)
    names = [name, value, low, high, *([chance] if chance else [])]
    shown = shown[names].assign(**{each: shown[each].astype(float) for each in names[1:]})
    return filled(_spec(name, title, form, value, low, high, chance, domain), rows=shown)


@lru_cache(maxsize=64)
def _spec(
    name: str,
    title: str,
    form: str,
    value: str,
    low: str,
    high: str,
    chance: str | None,
    domain: tuple[float, float] | None,
) -> Spec:
    scale = altair.Scale(domain=list(domain), clamp=True) if domain else altair.Scale(zero=False)
    # No sort is the order of the rows.
    base = altair.Chart(rows()).encode(
        y=altair.Y(
            f"{name}:N", title=None, sort=None, axis=altair.Axis(labelLimit=150, labelFlush=False)
        )
    )
    # Ticks that are nearer would be written alike.
    axis = altair.Axis(format=form, tickCount=8, tickMinStep=0.01)
    x = altair.X(f"{value}:Q", title=textwrap.wrap(title, LINE), scale=scale, axis=axis)
    shown = [(value, title), (low, "from"), (high, "to"), *([(chance, "chance")] if chance else [])]
    tooltip = [altair.Tooltip(f"{each}:Q", title=label, format=form) for each, label in shown]
    spread = base.mark_rule(strokeWidth=2, color="gray").encode(
        x=altair.X(f"{low}:Q", scale=scale), x2=high
    )
    points = base.mark_point(size=80, filled=True).encode(x=x, tooltip=[f"{name}:N", *tooltip])
    words = base.mark_text(dy=-9, fontSize=11).encode(
        x=x, text=altair.Text(f"{value}:Q", format=form), color=altair.value("gray")
    )
    layers = spread + points + words
    if chance:
        layers += base.mark_tick(thickness=3, size=16, color="gray").encode(
            x=altair.X(f"{chance}:Q", scale=scale), tooltip=tooltip
        )
    return written(layers.properties(height=altair.Step(ROW)))
