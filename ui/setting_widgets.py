"""One widget for each kind of setting: what it shows, and the value that it gives back."""

from typing import Any, Literal, get_args, get_origin

import pandas
import streamlit as st
from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from labeling.labeling_sections import Criterion
from ui.setting_words import SettingWords

#: of a field that holds a number or a choice, in pixels
WIDTH = 420
_TABLES = ("criteria", "pool_shares")
_ANSWERS = {"likert": "1 to 7", "check": "yes or no"}


def widget(field: FieldInfo, value: Any, words: SettingWords, key: str) -> Any:
    """Draw the widget that fits a field, filled with `value`; return what it holds now.

    Shares are shown in percent and given back from 0 to 1.
    """
    kind, name = field.annotation, key.rsplit(".", 1)[-1]
    if name in _TABLES:
        return _criteria(value, words, key) if name == "criteria" else _shares(value, words, key)
    if kind is bool:
        return st.toggle(words.label, value, key=key, help=words.help or None)
    if get_origin(kind) is Literal:
        options = list(get_args(kind))
        return st.selectbox(
            words.label,
            options,
            options.index(value),
            key=key,
            help=words.help or None,
            width=WIDTH,
        )
    if kind is str:
        return st.text_input(words.label, value, key=key, help=words.help or None).strip()
    if get_origin(kind) is tuple:
        given = st.text_area(
            words.label, "\n".join(value), key=key, help=f"{words.help} One a line.".strip()
        )
        # Twice the same would be two choices that nobody can tell apart.
        return list(dict.fromkeys(line.strip() for line in given.splitlines() if line.strip()))
    return _number(field, value, words, key)


def _number(field: FieldInfo, value: float | None, words: SettingWords, key: str) -> Any:
    lowest, highest = _bounds(field)
    if highest == 1.0:
        shown = None if value is None else value * 100
        given = st.number_input(
            f"{words.label}, %",
            min_value=lowest * 100,
            max_value=100.0,
            value=shown,
            step=1.0,
            format="%.1f",
            key=key,
            help=words.help or None,
            width=WIDTH,
        )
        # 5 percent is 0.05, and not the float beside it.
        return None if given is None else round(given / 100, 6)
    # Streamlit wants all numbers of one kind, and a number once given cannot be emptied: where
    # there may be none, 0 stands for it.
    parts = get_args(field.annotation)
    kind: Any = float if float in (field.annotation, *parts) else int
    may_be_none = type(None) in parts
    given = st.number_input(
        words.label,
        min_value=kind(0 if may_be_none else lowest),
        max_value=None if highest is None else kind(highest),
        value=kind(value or 0),
        step=kind(1),
        key=key,
        help=words.help or None,
        width=WIDTH,
    )
    return None if may_be_none and not given else given


def _bounds(field: FieldInfo) -> tuple[float, float | None]:
    lowest, highest = 0.0, None
    # The bounds of `X | None` are those of X.
    parts = [getattr(part, "__metadata__", ()) for part in get_args(field.annotation)]
    found = [*field.metadata, *(one for part in parts for one in part)]
    found += [bound for one in found for bound in getattr(one, "metadata", ())]
    for bound in found:
        if isinstance(bound, Ge):
            lowest = float(bound.ge)  # type: ignore[arg-type]
        elif isinstance(bound, Gt):
            lowest = float(bound.gt)  # type: ignore[arg-type]
        elif isinstance(bound, Le):
            highest = float(bound.le)  # type: ignore[arg-type]
    return lowest, highest


def _criteria(value: tuple[Criterion, ...], words: SettingWords, key: str) -> list[dict[str, Any]]:
    rows = pandas.DataFrame(
        [each.model_dump() for each in value], columns=["name", "kind", "question"], dtype="str"
    )
    column = st.column_config
    st.text(words.label, help=words.help)
    given = st.data_editor(
        rows,
        key=key,
        num_rows="dynamic",
        hide_index=True,
        column_config={
            "name": column.TextColumn("Name", required=True),
            "kind": column.SelectboxColumn(
                "Answer", options=list(_ANSWERS), default="likert", required=True,
                format_func=lambda kind: _ANSWERS[str(kind)],
            ),
            "question": column.TextColumn("Question", width="large"),
        },
    )  # fmt: skip
    return [
        {"name": row["name"], "kind": row["kind"], "question": row["question"] or ""}
        for row in given.astype(object).where(given.notna(), "").to_dict("records")
        if row["name"]
    ]


def _shares(value: dict[str, float], words: SettingWords, key: str) -> dict[str, float]:
    rows = pandas.DataFrame(
        {"pool": pandas.Series(list(value), dtype="str"),
         "percent": pandas.Series([share * 100 for share in value.values()], dtype="float")}
    )  # fmt: skip
    st.text(words.label, help=words.help)
    given = st.data_editor(
        rows,
        key=key,
        num_rows="dynamic",
        hide_index=True,
        column_config={
            "pool": st.column_config.TextColumn("Pool", required=True),
            "percent": st.column_config.NumberColumn("Percent", min_value=0, max_value=100),
        },
    )
    return {
        str(row["pool"]): float(row["percent"] or 0) / 100
        for row in given.fillna({"percent": 0.0}).to_dict("records")
        if row["pool"] and not pandas.isna(row["pool"])
    }
