"""The page of all judgments: what is behind a figure, with texts and everyone's ranks."""

import streamlit as st

from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.statistics.judgments_behind import Selection, judgments_behind, selected
from storage.errors import BadInput
from ui import process, session
from ui.figures import measured
from ui.plain_text import plain
from ui.quality import behind_table


def show() -> None:
    """Show a page of the judgments that the address asks for, the newest first."""
    account = session.require_account()
    require(account, Action.SEE_QUALITY, project_id=process.project_id())
    st.title("All judgments")
    columns = measured.columns(account)
    try:
        selection = Selection.of_query(st.query_params)
    except BadInput as error:
        st.warning(plain(str(error)))
        selection = Selection()
    selection = behind_table.choose(columns, selection, measured.imported_policies(account))
    places = selected(columns, selection)[::-1]
    skip = behind_table.page(len(places), selection)
    if not len(places):
        st.info("No judgment fits. Take a condition away above, or rank some tasks first.")
        return
    with process.reading() as rows:
        found = judgments_behind(
            rows, project_id=key_of(process.project()), account=account, columns=columns,
            places=places[skip : skip + behind_table.PAGE_SIZE],
        )  # fmt: skip
    behind_table.show(found)
