"""The writing component: a prompt and an answer, kept in the browser until the server has them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

HERE = Path(__file__).parent


class WriteEvent(BaseModel):
    """A prompt that was written, and an answer to it ("" where there is none)."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    nonce: Annotated[str, StringConstraints(min_length=8, max_length=64, pattern="^[0-9a-f]+$")]
    prompt: str = Field(max_length=200_000)
    answer: str = Field(max_length=200_000)


def writing_form(*, data: dict[str, Any], key: str, act: Callable[[], None]) -> None:
    """Mount the component; `act` is called when the annotator sends what they wrote.

    `data`: owner (whose browser storage is used), words, done (the nonce that was carried out
    last: then both fields are emptied), refusal ({id, text} or None).
    """
    _component(key=key, data=data, on_write_change=act)


_component = st.components.v2.component(
    "rankloop.writing",
    html='<form class="writing"></form>',
    css=(HERE / "writing.css").read_text(encoding="utf-8"),
    js=(HERE / "writing.js").read_text(encoding="utf-8"),
)
