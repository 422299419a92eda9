"""Where an account is signed in, with a button to end each."""

from datetime import datetime

import streamlit as st
from sqlmodel import Session

from labeling.people.sign_ins import SignInRow, open_sign_ins, revoke_sign_in, revoke_sign_ins
from storage.tables import Account
from ui import process, session
from ui.people.browser_names import browser_name
from ui.people.rows import row
from ui.people.said import acting, doing, say_what_came

PLACE = "sign-ins"


def show(account: Account, *, by: Account) -> None:
    """Draw the open sign-ins of an account; `by` looks at them."""
    words = session.words()
    own = session.own_token() if account.id == by.id else None
    with process.reading() as rows:
        found = open_sign_ins(rows, account=account, by=by, token=own)
    own_page = account.id == by.id
    st.subheader(
        words.say("sign_ins.title") if own_page else words.say("sign_ins.title_of_another")
    )
    say_what_came(PLACE)
    if not found:
        st.text(words.say("sign_ins.none"))
    for one in found:
        _row(account, one)
    if len(found) > 1 or (found and own is None):
        st.button(
            words.say("sign_ins.all_others" if own else "sign_ins.all"), key=f"out {account.id}",
            on_click=doing, args=(PLACE, _end_all, account.id),
        )  # fmt: skip


def _row(account: Account, one: SignInRow) -> None:
    words = session.words()
    note = words.say(
        "sign_ins.row",
        way=words.say(f"sign_ins.way.{one.way}"),
        address=one.address or "–",
        opened=moment(one.opened_at),
        seen=moment(one.seen_at),
    )
    row(
        browser_name(one.user_agent) or words.say("sign_ins.unknown"),
        note,
        beside=words.say("sign_ins.this") if one.is_this else "",
        button=words.say("sign_ins.end"),
        key=f"end {one.name}",
        place=PLACE,
        deed=None if one.is_this else _end,
        arguments=(account.id, one.name),
    )


def moment(at: datetime) -> str:
    """Return a time in UTC, to the minute."""
    return f"{at:%Y-%m-%d %H:%M}"


def _end(account_id: int, name: str) -> str:
    with process.writing() as rows:
        revoke_sign_in(rows, account=_account(rows, account_id), name=name, by=acting())
    return session.words().say("sign_ins.ended", count=1)


def _end_all(account_id: int) -> str:
    by = acting()
    own = session.own_token() if by.id == account_id else None
    with process.writing() as rows:
        count = revoke_sign_ins(rows, account=_account(rows, account_id), by=by, but_token=own)
    return session.words().say("sign_ins.ended", count=count)


def _account(rows: Session, account_id: int) -> Account:
    return rows.get_one(Account, account_id)
