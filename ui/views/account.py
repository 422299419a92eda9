"""Your account: sign-ins, password, single sign-on, access tokens, language."""

import streamlit as st

from labeling.keys import key_of
from labeling.permissions import Action, allows, role_of
from ui import process, session
from ui.components.leave import leave
from ui.languages import languages
from ui.people import password_form, privacy_panel, sign_in_list, token_list
from ui.plain_text import plain


def show() -> None:
    """Show what belongs to the account that is signed in."""
    account, words = session.require_account(), session.words()
    here = process.project_id()
    role = role_of(account, here)
    st.title(words.say("account.title"))
    name = words.say(f"account_role.{role}") if role else words.say("account.no_role")
    st.text(words.say("account.lead", name=account.name, role=name, project=process.project().name))
    left, right = st.columns([3, 2], gap="medium")
    with left.container(border=True):
        sign_in_list.show(account, by=account)
    with right.container(border=True):
        password_form.show(account)
        password_form.show_provider(account)
    if any(allows(account, each, project_id=here) for each in set(Action) - {Action.JUDGE}):
        with left.container(border=True):
            token_list.show(account)
    with right.container(border=True):
        st.subheader(words.say("privacy.title"))
        privacy_panel.download(key_of(account), account)
    with right.container(border=True):
        _languages()


def _languages() -> None:
    words = session.words()
    st.subheader(words.say("account.language"))
    for code, name in languages().items():
        if st.button(
            plain(name), key=f"language {code}", disabled=code == words.language, width="stretch"
        ):
            leave("/login", language=code, next="/account")
