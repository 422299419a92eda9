"""The ranking component: completions as cards, ranked by keys, drag, click or touch.

What it sends can be forged by any websocket client, so each event is parsed here strictly and
judged by the functions of `labeling`.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from storage.errors import BadInput
from ui.components.ranking import served

HTML = '<div class="ranking"></div>'
#: where the component posts events: `ui.ranking.rank_events`
DIRECTLY = "/rank/events"

Deed = Literal["submit", "skip", "flag", "undo", "draft", "beat", "rewrite"]
DEEDS: tuple[Deed, ...] = ("submit", "skip", "flag", "undo", "draft", "beat", "rewrite")

Event = TypeVar("Event", bound=BaseModel)
Nonce = Annotated[str, StringConstraints(min_length=8, max_length=64, pattern="^[0-9a-f]+$")]
Mark = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Comment = Annotated[str, StringConstraints(max_length=20_000)]
Likert = Annotated[int, Field(ge=1, le=7)]


class _Event(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    assignment: int


class SubmitEvent(_Event):
    """A ranking; every list is by place: `[j]` belongs to what was shown in place j.

    A rank of 1 is best; in the criteria's lists None is "not answered".
    """

    nonce: Nonce
    ranks_by_place: list[int] = Field(min_length=2, max_length=9)
    milliseconds: int = Field(ge=0)
    strength: int | None = None
    likert_by_place: dict[Mark, list[Likert | None]] = Field(default={}, max_length=50)
    checks_by_place: dict[Mark, list[bool | None]] = Field(default={}, max_length=50)
    flags: list[Mark] = Field(default=[], max_length=50)
    rationale: Comment = ""


class SkipEvent(_Event):
    """A task put aside, and why."""

    nonce: Nonce
    reason: str = Field(min_length=1, max_length=200)


class FlagEvent(_Event):
    """A task that the lead should look at instead of its being ranked."""

    nonce: Nonce
    flags: list[Mark] = Field(min_length=1, max_length=50)
    comment: Comment = ""


class UndoEvent(_Event):
    """The wish to open one's last judgment again."""

    at: str = Field(max_length=64)


class DraftEvent(_Event):
    """What an annotator has done so far; `serial` names the showing of the task."""

    serial: str = Field(max_length=100)
    draft: dict[str, Any]


class BeatEvent(_Event):
    """The page is open and to be seen."""

    at: str = Field(max_length=64)


class RewriteEvent(_Event):
    """A better answer than the one in `place`, written by the annotator."""

    nonce: Nonce
    place: int = Field(ge=0, le=8)
    text: str = Field(min_length=1, max_length=200_000)


def parse(kind: type[Event], value: Any) -> Event:
    """Return the event in `value`; raise `BadInput` naming the field that does not fit."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "event"
        raise BadInput(f"The page sent a {field} that does not fit: {first['msg']}.") from error


def ranking(*, data: dict[str, Any], key: str, act: Callable[[Deed], None]) -> None:
    """Mount the component; `act` is called with the name of what the annotator did.

    It is called for what is not posted to `data["direct"]` ("": for everything), or was not
    answered there.

    `data`: look (a name of this look at the database: Streamlit repeats what it gave last, and
    what was posted since is newer), serial (one showing of a task), sitting (one session of a
    server), assignment, messages, completions (display order), layout, page (criteria, strength,
    flags, rationale, rewrites), draft, words, language, direction, today, total, news, can_undo,
    refusal and feedback ({id, text} or None), done (the nonce of the event that was carried out
    last: what stays on the page after it, a rewrite, is sent again until it is named here).

    All of `data` goes over the wire whenever any of it changes: give the draft with which a
    showing began, not the newest one, or each draft that is kept sends every text again.
    """
    callbacks: dict[str, Any] = {f"on_{name}_change": _callback(act, name) for name in DEEDS}
    _component(key=key, data=data, **callbacks)


def _callback(act: Callable[[Deed], None], name: Deed) -> Callable[[], None]:
    return lambda: act(name)


_component = st.components.v2.component("rankloop.ranking", html=HTML, js=served.LOADER)
