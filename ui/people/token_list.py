"""One's own access tokens: those that are good, and the form for one more."""

import streamlit as st

from labeling.people.access_tokens import TokenRow, make_token, revoke_token, tokens
from labeling.permissions import WORDS, Action, allows
from storage.tables import Account
from ui import process, session
from ui.people.rows import row
from ui.people.said import acting, doing, say_what_came
from ui.people.sign_in_list import moment

PLACE = "tokens"
SECRET = "new token"


def show(account: Account) -> None:
    """Draw the tokens and the form."""
    words = session.words()
    st.subheader(words.say("tokens.title"))
    st.text(words.say("tokens.lead"))
    say_what_came(PLACE)
    if secret := st.session_state.pop(SECRET, None):
        st.code(secret, language=None, wrap_lines=True)
    with process.reading() as rows:
        found = tokens(rows, account=account, by=account)
    for one in found:
        _row(one)
    with st.expander(words.say("tokens.new"), icon=":material/key:"):
        _form(account)


def _row(one: TokenRow) -> None:
    words = session.words()
    used = words.say("tokens.unused")
    if one.last_used_at is not None:
        used = words.say("tokens.used", when=moment(one.last_used_at))
    until = words.say("tokens.until", when=moment(one.expires_at)) if one.expires_at else ""
    may = ", ".join(one.actions) or words.say("tokens.everything")
    row(
        one.name,
        " · ".join(filter(None, (until, used, may))),
        button=words.say("tokens.revoke"),
        key=f"token {one.id}",
        place=PLACE,
        deed=_revoke,
        arguments=(one.id,),
    )


def _form(account: Account) -> None:
    words, settings = session.words(), process.settings().accounts
    here = process.project_id()
    may = [str(each) for each in Action if allows(account, each, project_id=here)]
    with st.form("token", border=False):
        st.text_input(words.say("tokens.name"), key="token name", max_chars=100)
        st.number_input(
            words.say("tokens.days"), min_value=1, max_value=int(settings.longest_token_days),
            value=int(settings.token_days), key="token days",
        )  # fmt: skip
        st.multiselect(
            words.say("tokens.actions"), may, key="token actions",
            format_func=lambda action: f"{action}: {WORDS[Action(action)]}",
            placeholder=words.say("tokens.everything"),
        )  # fmt: skip
        st.form_submit_button(words.say("tokens.make"), on_click=doing, args=(PLACE, _make))


def _make() -> str:
    state, settings = st.session_state, process.settings().accounts
    by = acting()
    with process.writing() as rows:
        _, secret = make_token(
            rows,
            account=by,
            name=state["token name"],
            days=float(state["token days"]),
            longest=settings.longest_token_days,
            by=by,
            actions=state["token actions"],
        )
    state[SECRET] = secret
    return session.words().say("tokens.made")


def _revoke(token_id: int) -> str:
    by = acting()
    with process.writing() as rows:
        revoke_token(rows, account=by, token_id=token_id, by=by)
    return session.words().say("tokens.revoked")
