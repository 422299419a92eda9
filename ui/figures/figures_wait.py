"""What a page says while its very first figures are measured."""

from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

# Seconds that nobody needs a word for.
_UNTOLD = 0.7
_WORDS = "Measuring the figures from all judgments; they are kept for the next look."


def wait_for_first(coming: "Future[Any]") -> None:
    """Wait for figures that are being measured; on a page that takes long, say so, with the time.

    Raises what measuring them raised.
    """
    try:
        coming.result(_UNTOLD)
    except NotYet:
        if get_script_run_ctx(suppress_warning=True) is None:
            coming.result()
            return
        with st.spinner(_WORDS, show_time=True):
            coming.result()
