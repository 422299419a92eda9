"""The unsaved component: keeps what is typed in the browser, and brings it to a new session.

It shows nothing. It watches the fields whose keys begin with `PREFIX`, on whichever page they are.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

HERE = Path(__file__).parent
#: how the key of a field begins that is kept; the component looks for it, too
PREFIX = "unsaved-"
LONGEST = 200_000

FieldKey = Annotated[
    str, StringConstraints(min_length=1, max_length=100, pattern=f"^{PREFIX}[a-z0-9-]+$")
]
Text = Annotated[str, StringConstraints(max_length=LONGEST)]
Choice = Annotated[int, Field(ge=1, le=9)]


class BroughtEvent(BaseModel):
    """What the browser has kept, by the fields' keys: texts, and numbers that were chosen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    kept: dict[FieldKey, Text | Choice] = Field(max_length=2000)


def keeper(*, data: dict[str, Any], key: str, act: Callable[[], None]) -> None:
    """Mount the component; `act` is called when it brings what it has kept.

    `data`: owner (account and project: whose texts are kept, and where), session (a name of this
    session of the server), brought (whether it has what was kept), chosen (key to the number that
    was chosen, or None: the browser cannot see these), typed (key to the text that the server has
    heard of), forgotten (a list of [number, key]: what is saved by now, with numbers that go up).
    """
    _component(key=key, data=data, on_brought_change=act)


_component = st.components.v2.component(
    "rankloop.unsaved",
    html="<div></div>",
    js=(HERE / "unsaved.js").read_text(encoding="utf-8"),
)
