"""Charts of work: judgments over time, active time a judgment by annotator."""

from datetime import timedelta
from typing import Any

import altair
import pandas

from storage.clock import now

HEIGHT = 220
#: how an axis writes its times; hours as the chart chooses, with the day where it changes
_FORMS: dict[str, dict[str, Any]] = {"day": {"format": "%d %b"}, "hour": {}}


def judgments_over_time(work: pandas.DataFrame, *, unit: str, span: timedelta | None) -> Any:
    """Return bars of judgments by `time` (a column beside judgments), `unit` being hour or day.

    The axis is as long as `span`, until now (None: as the work).
    """
    until = now()
    domain = [(until - span).isoformat(), until.isoformat()] if span else altair.Undefined
    time = altair.X(
        f"{'yearmonthdatehours' if unit == 'hour' else 'yearmonthdate'}(time):T",
        title=f"{unit} (UTC)",
        scale=altair.Scale(type="utc", domain=domain),
        axis=altair.Axis(grid=False, labelOverlap=True, **_FORMS[unit]),
    )
    return (
        altair.Chart(work)
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            x=time,
            y=altair.Y("sum(judgments):Q", title="judgments", axis=altair.Axis(tickMinStep=1)),
            tooltip=[
                altair.Tooltip("time:T", title=f"{unit} (UTC)", format="%Y-%m-%d %H:%M"),
                altair.Tooltip("sum(judgments):Q", title="judgments"),
            ],
        )
        .properties(height=HEIGHT)
    )


def bars(table: pandas.DataFrame, *, value: str, title: str, form: str, most: int = 25) -> Any:
    """Return labelled bars of `value` by `name`, as ordered in the table, of the first `most`."""
    rows = table.head(most)
    base = altair.Chart(rows).encode(
        y=altair.Y("name:N", title=None, sort=list(rows["name"])),
        x=altair.X(f"{value}:Q", title=title, axis=altair.Axis(grid=False, tickMinStep=0.1)),
        tooltip=["name:N", altair.Tooltip(f"{value}:Q", title=title, format=form)],
    )
    words = base.mark_text(align="left", dx=4).encode(
        text=altair.Text(f"{value}:Q", format=form), color=altair.value("gray")
    )
    return (base.mark_bar(cornerRadiusEnd=3) + words).properties(height=altair.Step(28))
