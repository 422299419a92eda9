"""Invitations: the form for one more, its link shown once, and what became of the others."""

from urllib.parse import urlsplit

import streamlit as st

from labeling.people.invitations import InvitationRow, invitations, invite, revoke_invitation
from labeling.permissions import Action, allows
from storage.errors import BadInput
from storage.tables import Account, Role
from ui import process, session
from ui.people.rows import row
from ui.people.said import acting, doing, say_what_came
from ui.people.sign_in_list import moment

PLACE = "invitations"
_LINK = "link at "


def show(by: Account) -> None:
    """Draw the form and the list."""
    words = session.words()
    st.subheader(words.say("invitations.title"))
    say_what_came(PLACE)
    show_link(PLACE)
    _form(by)
    with process.reading() as rows:
        found = invitations(rows, by=by, project=process.project())
    for one in found:
        _row(one)


def _form(by: Account) -> None:
    words = session.words()
    admin = allows(by, Action.MANAGE_ACCOUNTS, project_id=None)
    roles = [str(role) for role in Role] if admin else [str(Role.ANNOTATOR)]
    project = process.project().name
    with st.form("invite", border=False):
        left, right = st.columns(2)
        left.selectbox(
            words.say("invitations.role"), roles, key="invite role", disabled=not admin,
            format_func=lambda role: words.say(f"account_role.{role}"),
        )  # fmt: skip
        right.selectbox(
            words.say("invitations.where"), [True, False] if admin else [True], key="invite here",
            format_func=lambda here: project if here else words.say("invitations.everywhere"),
            disabled=not admin,
        )  # fmt: skip
        left.number_input(
            words.say("invitations.hours"), min_value=1, max_value=2160, key="invite hours",
            value=int(process.settings().accounts.invitation_hours),
        )  # fmt: skip
        right.text_input(
            words.say("invitations.note"), key="invite note", max_chars=200,
            placeholder=words.say("invitations.note_hint"),
        )  # fmt: skip
        st.form_submit_button(
            words.say("invitations.make"), on_click=doing, args=(PLACE, _invite), type="primary"
        )


def _row(one: InvitationRow) -> None:
    words = session.words()
    role = words.say(f"account_role.{one.role}")
    if one.account:
        what = words.say("invitations.password_of", name=one.account)
    else:
        what = words.say(
            "invitations.row", role=role,
            where=one.project or words.say("invitations.everywhere"),
        )  # fmt: skip
    state = words.say(f"invitations.state.{one.state}", by=one.used_by or "–")
    shell = words.say("invitations.shell")
    until = words.say("invitations.until", when=moment(one.expires_at), by=one.by or shell)
    row(
        what,
        f"{state} · {until}",
        beside=one.note,
        button=words.say("invitations.revoke"),
        key=f"uninvite {one.id}",
        place=PLACE,
        deed=_revoke if one.state == "open" else None,
        arguments=(one.id,),
    )


def keep_link(place: str, code: str) -> None:
    """Keep the link of a code to be shown once."""
    base = process.settings().accounts.public_url
    if not base:
        here = urlsplit(st.context.url or "")
        base = f"{here.scheme}://{here.netloc}"
    st.session_state[_LINK + place] = f"{base}/join#{code}"


def show_link(place: str) -> None:
    """Show a link that was just made, once: it is kept nowhere."""
    if link := st.session_state.pop(_LINK + place, None):
        st.code(link, language=None, wrap_lines=True)


def _invite() -> str:
    state, by = st.session_state, acting()
    if state["invite role"] not in list(Role):
        raise BadInput("There is no such role; choose one of the list.")
    with process.writing() as rows:
        _, code = invite(
            rows,
            role=Role(state["invite role"]),
            hours=float(state["invite hours"]),
            by=by,
            project=process.project() if state["invite here"] else None,
            note=state["invite note"].strip(),
        )
        keep_link(PLACE, code)
    return session.words().say("invitations.made")


def _revoke(invitation_id: int) -> str:
    by = acting()
    with process.writing() as rows:
        revoke_invitation(rows, invitation_id=invitation_id, by=by)
    return session.words().say("invitations.revoked")
