"""The agreement page: how well annotators agree, on what, who with whom, and where it hurts."""

import streamlit as st

from labeling.permissions import Action, require
from ui import process, session
from ui.figures import measured
from ui.quality import agreement_tables, disagreement_tables


def show() -> None:
    """Show measures of agreement and what is behind them, or what is missing for them."""
    account = session.require_account()
    require(account, Action.SEE_QUALITY, project_id=process.project_id())
    st.title("Agreement")
    found = measured.quality(account)
    if found.judgments == 0:
        st.info("Nothing is judged yet. Figures appear here with the first judgments.")
        return
    agreement_tables.cards(found)
    agreement_tables.measures(found)
    agreement_tables.divided(account)
    names = {
        int(one): str(name)
        for one, name in found.annotators[["annotator_id", "name"]].itertuples(index=False)
    }
    agreement_tables.between(measured.between(account), names)
    hurts = measured.hurts(account)
    disagreement_tables.disputed(hurts)
    disagreement_tables.label_errors(hurts, names)
    disagreement_tables.circles(hurts, names)
