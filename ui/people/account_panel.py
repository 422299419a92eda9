"""One account as an admin changes it: roles, on and off, sign-ins, a link to a new password."""

import streamlit as st

from labeling.people.directory import AccountRow
from labeling.people.invitations import offer_new_password
from labeling.people.roles import change_project_role, change_role, switch_off, switch_on
from storage.errors import BadInput
from storage.tables import Account, Role
from ui import process, session
from ui.people import privacy_panel, sign_in_list
from ui.people.invitation_list import keep_link, show_link
from ui.people.said import acting, doing, say_what_came
from ui.plain_text import plain

PLACE = "account"
FOLLOW, NOTHING = "same", "none"


def show(one: AccountRow, by: Account) -> None:
    """Draw the panel of an account."""
    words = session.words()
    with st.container(border=True):
        st.subheader(plain(one.name))
        say_what_came(PLACE)
        show_link(PLACE)
        if one.state in ("imported", "erased"):
            st.text(words.say(f"accounts.closed.{one.state}"))
        else:
            _open(one, by)
        if one.state != "erased":
            _privacy(one, by)


def _open(one: AccountRow, by: Account) -> None:
    """Draw what there is to change of an account that somebody may sign in to."""
    _roles(one)
    _deeds(one)
    with process.reading() as rows:
        account = rows.get_one(Account, one.id)
    sign_in_list.show(account, by=by)


def _privacy(one: AccountRow, by: Account) -> None:
    left, right = st.columns(2)
    with left:
        privacy_panel.download(one.id, by)
    with right:
        privacy_panel.erase(one)


def _roles(one: AccountRow) -> None:
    words, here = session.words(), process.project().name
    roles = [str(role) for role in Role]
    own = one.project_roles.get(here)
    left, right = st.columns(2)
    left.selectbox(
        words.say("accounts.role_general"), roles, index=roles.index(one.role),
        format_func=lambda role: words.say(f"account_role.{role}"), key=f"role {one.id} {one.role}",
        on_change=doing, args=(PLACE, _change_role, one.id, f"role {one.id} {one.role}"),
        help=words.say("accounts.only_invited") if "*" in one.project_roles else None,
    )  # fmt: skip
    now = FOLLOW if own is None else own or NOTHING
    choices, key = [FOLLOW, *roles, NOTHING], f"here {one.id} {now}"
    right.selectbox(
        words.say("accounts.role_in", project=plain(here)), choices, index=choices.index(now),
        format_func=_choice, key=key, on_change=doing, args=(PLACE, _change_here, one.id, key),
    )  # fmt: skip


def _choice(role: str) -> str:
    words = session.words()
    if role in (FOLLOW, NOTHING):
        return words.say("accounts.same" if role == FOLLOW else "accounts.nothing")
    return words.say(f"account_role.{role}")


def _deeds(one: AccountRow) -> None:
    words, off = session.words(), one.state == "off"
    left, right = st.columns(2)
    left.button(
        words.say("accounts.reset"), key=f"reset {one.id}", on_click=doing, disabled=off,
        args=(PLACE, _reset, one.id), icon=":material/link:", width="stretch",
        help=words.say("accounts.reset_help"),
    )  # fmt: skip
    right.button(
        words.say("accounts.switch_on" if off else "accounts.switch_off"), width="stretch",
        key=f"switch {one.id} {off}", on_click=doing, args=(PLACE, _switch, one.id, off),
        icon=":material/person_check:" if off else ":material/person_off:",
    )  # fmt: skip


def _change_role(account_id: int, key: str) -> str:
    role, by = _known(st.session_state[key]), acting()
    with process.writing() as rows:
        account = rows.get_one(Account, account_id)
        change_role(rows, account=account, role=role, by=by)
    return session.words().say("accounts.role_changed", name=account.name)


def _change_here(account_id: int, key: str) -> str:
    chosen, by = st.session_state[key], acting()
    role = None if chosen in (FOLLOW, NOTHING) else _known(chosen)
    with process.writing() as rows:
        account = rows.get_one(Account, account_id)
        change_project_role(
            rows, account=account, project=process.project(), role=role, by=by,
            follow=chosen == FOLLOW,
        )  # fmt: skip
    return session.words().say("accounts.role_changed", name=account.name)


def _known(role: object) -> Role:
    if role not in list(Role):
        raise BadInput("There is no such role; choose one of the list.")
    return Role(str(role))


def _switch(account_id: int, on: bool) -> str:
    by = acting()
    with process.writing() as rows:
        account = rows.get_one(Account, account_id)
        (switch_on if on else switch_off)(rows, account=account, by=by)
    key = "accounts.switched_on" if on else "accounts.switched_off"
    return session.words().say(key, name=account.name)


def _reset(account_id: int) -> str:
    by = acting()
    with process.writing() as rows:
        account = rows.get_one(Account, account_id)
        _, code = offer_new_password(
            rows, account=account, hours=process.settings().accounts.invitation_hours, by=by
        )
        keep_link(PLACE, code)
    return session.words().say("accounts.link_made", name=account.name)
