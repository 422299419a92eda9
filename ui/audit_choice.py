"""The audit page's filters, and the log as a file."""

from datetime import UTC, date, datetime, time, timedelta
from functools import partial

import streamlit as st
from sqlmodel import col, select

from labeling.audit.files import FileType, lines_of, note_export
from labeling.audit.kinds import AUDITED
from labeling.audit.log import AuditChoice, audit_log
from storage.engine import reading, writing
from storage.tables import Account
from ui import process, session

#: the place in the log that the page shows goes back to the newest when a filter changes
BEFORE = "audit_before"


def choose() -> AuditChoice:
    """Draw the filters; return what they choose."""
    words = session.words()
    who, what, first, last = st.columns([2, 3, 1.2, 1.2])
    names = _names()
    account_id = who.selectbox(
        words.say("audit.who"), list(names), index=None, format_func=lambda key: names[key],
        placeholder=words.say("audit.everyone"), on_change=_newest,
    )  # fmt: skip
    kinds = what.multiselect(
        words.say("audit.what"), list(AUDITED), format_func=lambda kind: AUDITED[kind],
        placeholder=words.say("audit.everything"), on_change=_newest,
    )  # fmt: skip
    since = first.date_input(words.say("audit.since"), value=None, on_change=_newest)
    until = last.date_input(words.say("audit.until"), value=None, on_change=_newest)
    return AuditChoice(
        kinds=tuple(kinds),
        account_id=account_id,
        since=_midnight(since),
        # The last day is included: it ends where the next begins.
        until=None if until is None else _midnight(until + timedelta(days=1)),
    )


def offer(account: Account, choice: AuditChoice) -> None:
    """Draw the buttons that download all that is chosen; each download is recorded."""
    words = session.words()
    with st.container(horizontal=True):
        types: tuple[FileType, ...] = ("csv", "jsonl")
        for file_type in types:
            st.download_button(
                words.say("audit.download", type=file_type.upper()),
                data=partial(_file, account, choice, file_type),
                file_name=f"audit.{file_type}",
                on_click="ignore",
                icon=":material/download:",
                key=f"audit {file_type}",
            )


def _file(account: Account, choice: AuditChoice, file_type: FileType) -> bytes:
    engine = process.engine()
    with reading(engine) as rows:
        log = audit_log(rows, account=account, choice=choice)
        found = "".join(lines_of(log, file_type)).encode()
    with writing(engine) as rows:
        note_export(rows, account=account, choice=choice, file_type=file_type)
    return found


def _names() -> dict[int, str]:
    with process.reading() as rows:
        found = rows.exec(
            select(Account.id, Account.name)
            .where(Account.imported_from == "")
            .order_by(col(Account.name))
        ).all()
    return {int(key or 0): name for key, name in found}


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), tzinfo=UTC)


def _newest() -> None:
    st.session_state[BEFORE] = []
