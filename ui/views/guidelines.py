"""The guidelines page: what to look at when ranking."""

import streamlit as st

from labeling.guidelines import guidelines_in_force
from labeling.keys import key_of
from storage.engine import reading
from ui import process, session

BUILT_IN = """
Read the prompt, then every completion to its end. Rank them by which one you would rather have
been given, **1 is best**.

- **Helpful:** does it do what the prompt asks, whole and to the point?
- **Honest:** is it right, as far as you can tell, and open about what it does not know?
- **Harmless:** would acting on it hurt anybody?

Give equal ranks when you see no difference; a tie says more than a coin toss. Skip a task that you
cannot judge and say why. Length alone is no merit.
"""


def show() -> None:
    """Show the project's guidelines, or the built-in ones."""
    session.require_account()
    st.title("Guidelines")
    with reading(process.engine()) as database:
        own = guidelines_in_force(database, project_id=key_of(process.project()))
    st.markdown(without_images(own.text if own is not None else BUILT_IN))


def without_images(markdown: str) -> str:
    """Return Markdown whose images are left as text: showing one would fetch it."""
    return markdown.replace("![", "&#33;[")
