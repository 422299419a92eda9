"""Lines over weeks, told apart by dash, shape and a name at their end."""

from typing import Any

import altair
import pandas

HEIGHT = 260
#: lines that dashes and shapes still tell apart
MOST_LINES = 6


def over_weeks(table: pandas.DataFrame, *, name: str, value: str, title: str, form: str) -> Any:
    """Return lines of `value` over `week`, one for each `name`, of the first `MOST_LINES` names."""
    names = list(dict.fromkeys(table[name]))[:MOST_LINES]
    rows = table[table[name].isin(names) & table[value].notna()]
    rows = rows[[name, "week", value]].assign(**{value: rows[value].astype(float)})
    base = altair.Chart(rows).encode(
        x=altair.X("week:T", title="week from", axis=altair.Axis(format="%d %b", grid=False)),
        y=altair.Y(
            f"{value}:Q", title=title, scale=altair.Scale(zero=False), axis=altair.Axis(format=form)
        ),
        color=altair.Color(f"{name}:N", legend=None, sort=names),
    )
    lines = base.mark_line(strokeWidth=2).encode(
        strokeDash=altair.StrokeDash(f"{name}:N", legend=None, sort=names)
    )
    points = base.mark_point(size=55, filled=True).encode(
        shape=altair.Shape(f"{name}:N", legend=None, sort=names),
        tooltip=[f"{name}:N", "week:T", altair.Tooltip(f"{value}:Q", format=form)],
    )
    last = rows.sort_values("week").groupby(name, as_index=False).last()
    words = (
        altair.Chart(last)
        .mark_text(align="left", dx=8, fontSize=12)
        .encode(x="week:T", y=f"{value}:Q", text=f"{name}:N", color=altair.value("gray"))
    )
    return (lines + points + words).properties(height=HEIGHT)
