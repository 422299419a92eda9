"""The accounts in a table, of which one row is chosen."""

import pandas
import streamlit as st

from labeling.people.directory import AccountRow, accounts
from storage.tables import Account
from ui import process, session
from ui.people.sign_in_list import moment

KEY = "accounts table"
#: pixels: names of imported annotators have that of the file at their end
NAME_WIDTH = 150


def show(by: Account) -> AccountRow | None:
    """Draw the search and the table; return the account that is chosen."""
    words = session.words()
    search = st.text_input(
        words.say("accounts.search"), key="accounts search", icon=":material/search:",
        label_visibility="collapsed", placeholder=words.say("accounts.search"),
    )  # fmt: skip
    with process.reading() as rows:
        found = accounts(rows, by=by, search=search.strip())
    if not found:
        st.info(words.say("accounts.none"))
        return None
    said = st.dataframe(
        _table(found), hide_index=True, on_select="rerun", selection_mode="single-row-required",
        key=KEY, height=min(38 + 35 * len(found), 470),
        column_config={words.say("accounts.name"): st.column_config.Column(width=NAME_WIDTH)},
    )  # fmt: skip
    # What is chosen came from the browser: the row may be gone.
    chosen = said.get("selection", {}).get("rows", [])
    number = chosen[0] if chosen else 0
    return found[number] if isinstance(number, int) and 0 <= number < len(found) else None


def _table(found: list[AccountRow]) -> pandas.DataFrame:
    words, here = session.words(), process.project().name
    rows = [
        {
            "accounts.name": one.name,
            "accounts.role": words.say(f"account_role.{one.role}"),
            "accounts.role_here": _role_here(one, here),
            "accounts.state": words.say(f"accounts.state.{one.state}"),
            "accounts.seen": moment(one.seen_at) if one.seen_at else "–",
            "accounts.sign_ins": one.sign_ins,
            "accounts.way": _way(one),
        }
        for one in found
    ]
    table = pandas.DataFrame(rows)
    table.columns = [words.say(each) for each in table.columns]
    return table


def _role_here(one: AccountRow, here: str) -> str:
    words = session.words()
    own = one.project_roles.get(here, one.project_roles.get("*"))
    if own is None:
        return words.say("accounts.same")
    return words.say(f"account_role.{own}") if own else words.say("accounts.nothing")


def _way(one: AccountRow) -> str:
    words = session.words()
    if one.kind != "person":
        return words.say(f"accounts.kind.{one.kind}")
    ways = ("password" if one.has_password else "", "oidc" if one.has_oidc else "")
    return ", ".join(words.say(f"accounts.way.{way}") for way in ways if way) or "–"
