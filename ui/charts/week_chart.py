"""Lines over weeks, told apart by dash, shape and a name at their end."""

from functools import lru_cache

import altair
import pandas

from ui.charts.ready_charts import Spec, filled, rows, written

HEIGHT = 260
#: lines that dashes and shapes still tell apart
MOST_LINES = 6


def over_weeks(table: pandas.DataFrame, *, name: str, value: str, title: str, form: str) -> Spec:
    """Return lines of `value` over `week`, one for each `name`, of the first `MOST_LINES` names."""
    names = list(dict.fromkeys(table[name]))[:MOST_LINES]
    lines = table[table[name].isin(names) & table[value].notna()]
    lines = lines[[name, "week", value]].assign(**{value: lines[value].astype(float)})
    ends = lines.sort_values("week").groupby(name, as_index=False).last()
    return filled(_spec(name, value, title, form), rows=lines, ends=ends)


@lru_cache(maxsize=8)
def _spec(name: str, value: str, title: str, form: str) -> Spec:
    # No sort is the order of the rows.
    base = altair.Chart(rows()).encode(
        x=altair.X("week:T", title="week from", axis=altair.Axis(format="%d %b", grid=False)),
        y=altair.Y(
            f"{value}:Q", title=title, scale=altair.Scale(zero=False), axis=altair.Axis(format=form)
        ),
        color=altair.Color(f"{name}:N", legend=None, sort=None),
    )
    lines = base.mark_line(strokeWidth=2).encode(
        strokeDash=altair.StrokeDash(f"{name}:N", legend=None, sort=None)
    )
    points = base.mark_point(size=55, filled=True).encode(
        shape=altair.Shape(f"{name}:N", legend=None, sort=None),
        tooltip=[f"{name}:N", "week:T", altair.Tooltip(f"{value}:Q", format=form)],
    )
    words = (
        altair.Chart(rows("ends"))
        .mark_text(align="left", dx=8, fontSize=12)
        .encode(x="week:T", y=f"{value}:Q", text=f"{name}:N", color=altair.value("gray"))
    )
    return written((lines + points + words).properties(height=HEIGHT))
