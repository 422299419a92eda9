"""A new password for one's own account, and single sign-on beside it."""

import streamlit as st

from labeling.people.failed_sign_ins import record_failure, seconds_to_wait
from labeling.people.identities import unlink_identity
from labeling.people.own_password import WrongPassword, change_password
from labeling.people.passwords import MINIMUM_PASSWORD
from labeling.people.sign_ins import Browser
from storage.errors import BadInput
from storage.tables import Account
from ui import process, session
from ui.components.leave import leave
from ui.people.said import acting, doing, say_what_came
from ui.plain_text import plain

PLACE = "password"


def show(account: Account) -> None:
    """Draw the form, or say that an admin sets the first password."""
    words = session.words()
    st.subheader(words.say("password.title"))
    say_what_came(PLACE)
    if account.password_hash is None:
        st.text(words.say("password.none"))
        return
    with st.form("password", clear_on_submit=True, border=False):
        st.text_input(words.say("password.now"), type="password", key="password now",
                      autocomplete="current-password")  # fmt: skip
        st.text_input(
            words.say("password.new"), type="password", key="password new",
            autocomplete="new-password", help=words.say("password.help", fewest=MINIMUM_PASSWORD),
        )  # fmt: skip
        st.text_input(words.say("password.again"), type="password", key="password again",
                      autocomplete="new-password")  # fmt: skip
        st.form_submit_button(
            words.say("password.send"), on_click=doing, args=(PLACE, _change), width="stretch"
        )


def _change() -> str:
    words, state = session.words(), st.session_state
    if state["password new"] != state["password again"]:
        raise BadInput(words.say("join.differ"))
    account = acting()
    with process.reading() as rows:
        wait = seconds_to_wait(
            rows, name=account.name, browser=Browser(), token=session.own_token()
        )
    if wait > 0:
        raise BadInput(words.say("sign_in.wait", count=max(1, round(wait))))
    try:
        with process.writing() as rows:
            count = change_password(
                rows,
                account=account,
                old=state["password now"],
                new=state["password new"],
                token=session.own_token(),
                breached=process.settings().accounts.breached_passwords,
            )
    except WrongPassword:
        # Whoever finds an open page may not guess on, and an admin sees it.
        with process.writing() as rows:
            record_failure(
                rows, name=account.name, browser=Browser(), place="your account",
                token=session.own_token(),
            )  # fmt: skip
        raise
    return words.say("password.changed", count=count)


def show_provider(account: Account) -> None:
    """Draw whether the account can be signed in to through the provider, where there is one."""
    words, settings = session.words(), process.settings().oidc
    if not settings.client_id:
        return
    st.subheader(words.say("provider.title"))
    say_what_came("provider")
    linked = account.oidc_subject is not None
    key = "provider.linked" if linked else "provider.not_linked"
    st.text(words.say(key, name=settings.name))
    if linked:
        st.button(words.say("provider.unlink"), on_click=doing, args=("provider", _unlink))
    elif st.button(words.say("provider.link", name=plain(settings.name))):
        leave("/oidc/begin", method="post", link="1")


def _unlink() -> str:
    with process.writing() as rows:
        unlink_identity(rows, account=acting())
    return session.words().say("provider.unlinked")
