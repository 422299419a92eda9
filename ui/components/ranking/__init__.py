"""The ranking component: completions as cards, ranked by drag, click, touch or keyboard.

What it sends can be forged by any websocket client, so each event is parsed here strictly and
judged by the functions of `labeling`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storage.errors import BadInput

HERE = Path(__file__).parent
# One module in pieces: Streamlit takes a component's code as one text.
PIECES = ("order.js", "drag.js", "view.js", "dialogs.js", "ranking.js")

Event = TypeVar("Event", bound="_Event")


class _Event(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    assignment: int


class SubmitEvent(_Event):
    """A ranking: `ranks_by_place[j]` is the rank of what was shown in place j, 1 is best."""

    ranks_by_place: list[int] = Field(min_length=2, max_length=9)
    nonce: str = Field(min_length=8, max_length=64, pattern="^[0-9a-f]+$")
    milliseconds: int = Field(ge=0)


class SkipEvent(_Event):
    """A task put aside, and why."""

    reason: str = Field(min_length=1, max_length=200)
    at: str = Field(max_length=64)


class UndoEvent(_Event):
    """The wish to open one's last judgment again."""

    at: str = Field(max_length=64)


def parse(kind: type[Event], value: Any) -> Event:
    """Return the event in `value`; raise `BadInput` naming the field that does not fit."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "event"
        raise BadInput(f"The page sent a {field} that does not fit: {first['msg']}.") from error


def ranking(
    *, data: dict[str, Any], key: str, act: Callable[[Literal["submit", "skip", "undo"]], None]
) -> None:
    """Mount the component; `act` is called with the name of what the annotator did.

    `data`: serial (one showing of a task), assignment, messages, completions (display order),
    ranks (by place, or None), today, total, news, can_undo, refusal.
    """
    _component(
        key=key,
        data=data,
        on_submit_change=lambda: act("submit"),
        on_skip_change=lambda: act("skip"),
        on_undo_change=lambda: act("undo"),
    )


_component = st.components.v2.component(
    "rankloop.ranking",
    html='<div class="ranking"></div>',
    css=(HERE / "ranking.css").read_text(encoding="utf-8"),
    js="\n".join((HERE / name).read_text(encoding="utf-8") for name in PIECES),
)
