"""What the policies of a round scored on tasks of lm-eval, and which tasks were not run."""

from collections.abc import Mapping
from typing import Any

import pandas
import streamlit as st

from ui.plain_text import plain

DOCUMENTS = "sample_len"  # lm-eval's name of how many documents a task had


def show(one: dict[str, Any], policies: Mapping[str, str], *, versions: bool) -> None:
    """Draw the scores of a round's tasks, those of groups' parts folded away, and what failed.

    `policies` says what they are called here; `versions` for those who may know why a task failed.
    """
    asked, parts = (tasks_of(one, policies, parts=each) for each in (False, True))
    if not asked.empty:
        st.caption("Tasks of lm-eval, with standard errors; no check reads them")
        st.table(asked)
    if not parts.empty:
        with st.expander(f"Parts of the tasks ({len(parts)})"):
            st.table(parts)
    for row in one["metrics"].get("tasks_not_run", []):
        st.text(f"Task {row['task']} was not run" + (f": {row['reason']}" if versions else "."))


def tasks_of(one: dict[str, Any], policies: Mapping[str, str], *, parts: bool) -> pandas.DataFrame:
    """Return one row a metric of a task and one column a policy, as Markdown; empty without tasks.

    `parts` for the tasks that a group is made of, else for what was asked for.
    """
    rows: dict[str, dict[str, str]] = {}
    for scored in one["metrics"].get("tasks", []):
        if scored["part"] is not parts:
            continue
        figures, policy = scored["figures"], scored["policy"]
        for metric, value in figures.items():
            if metric == DOCUMENTS or "_stderr" in metric:
                continue
            row = rows.setdefault(plain(f"{scored['task']}: {metric}"), {})
            row["Documents"] = f"{figures[DOCUMENTS]:,.0f}" if DOCUMENTS in figures else "–"
            row[plain(policies.get(policy, policy))] = _score(value, _error(figures, metric))
    table = pandas.DataFrame.from_dict(rows, orient="index").fillna("–")
    table.index.name = "Task"
    return table


def _error(figures: Mapping[str, Any], metric: str) -> Any:
    name, slash, after = metric.partition("/")
    return figures.get(f"{name}_stderr{slash}{after}")


def _score(value: float | None, error: float | None) -> str:
    if value is None:
        return "–"
    return plain(f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}")
