"""The accounts: who there is and what they may do, and whom to invite."""

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from labeling.permissions import Action, allows
from storage.tables import Account
from ui import process, session
from ui.languages import Words
from ui.people import account_panel, account_table, invitation_list, privacy_panel


def page(account: Account, words: Words) -> StreamlitPage | None:
    """Return the page as the navigation knows it; None where the account may invite nobody."""
    if not (_manages(account) or _invites(account)):
        return None
    return st.Page(show, title=words.say("accounts.title"), url_path="accounts")


def _manages(account: Account) -> bool:
    return allows(account, Action.MANAGE_ACCOUNTS, project_id=None)


def _invites(account: Account) -> bool:
    return allows(account, Action.INVITE, project_id=process.project_id())


def show() -> None:
    """Show the accounts to admins, and the invitations to them and to leads."""
    account, words = session.require_account(), session.words()
    st.title(words.say("accounts.title"))
    if not _manages(account):
        with st.container(border=True, width=640):
            invitation_list.show(account)
        return
    # Above the table: who was erased may be in it no more.
    privacy_panel.tell()
    chosen = account_table.show(account)
    left, right = st.columns([1, 1], gap="medium")
    if chosen is not None:
        with left:
            account_panel.show(chosen, account)
    with right.container(border=True):
        invitation_list.show(account)
