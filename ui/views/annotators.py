"""The annotators page: how far each annotator can be relied on, and why."""

import streamlit as st

from labeling.permissions import Action, require
from ui import page_links, process, session
from ui.figures import measured
from ui.quality import annotator_tables


def show() -> None:
    """Show reliability, biases and drift of annotators, or what is missing for them."""
    account = session.require_account()
    require(account, Action.SEE_QUALITY, project_id=process.project_id())
    st.title("Annotators")
    found = measured.annotators(account)
    if found.annotators.empty:
        st.info(
            "There is no annotator yet. Invite people on the page Accounts, or add them with: "
            "rankloop account add NAME --role annotator"
        )
        if page_links.page_named("accounts"):
            page_links.link("accounts", "Invite people")
        return
    if not found.annotators["judgments"].any():
        st.info("Nothing is judged yet. Figures of each annotator appear with their judgments.")
    annotator_tables.reliability(found, measured.weights(account))
    annotator_tables.position(found)
    annotator_tables.over_time(found)
    annotator_tables.models(measured.models(account))
