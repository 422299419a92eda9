"""What leads have on the page of known answers: the tasks, and where everybody stands."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import streamlit as st
from sqlmodel import Session

from labeling.imports.row_files import ENDINGS
from labeling.keys import key_of
from labeling.quality_control.known_answer_files import read_known_answers
from labeling.quality_control.known_answer_import import import_known_answers
from labeling.quality_control.known_answers import withdraw_known_answer
from labeling.quality_control.qualification import reset_qualification, wave_through
from labeling.statistics.reliability import known_answer_tasks, reliability
from storage.errors import RankloopError
from storage.plurals import counted, form
from storage.tables import Account, Project, TaskKind
from ui import process, session
from ui.charts.shares import share, whole_percents
from ui.plain_text import plain

KINDS = ["jsonl", "gz", "csv", "parquet"]


def tasks(account: Account) -> None:
    """Draw the gold and qualification tasks; let a lead add a file of them or withdraw one."""
    with process.reading() as database:
        found = known_answer_tasks(database, project_id=key_of(process.project()), account=account)
    if found.empty:
        st.info(
            "There are none yet. Add a file here, or make one from a judged task on the Review "
            "page."
        )
    else:
        _task_table(found)
    _add_file(account)


def people(account: Account) -> None:
    """Draw how far each annotator's judgments can be relied on; let a lead pass or reset them."""
    with process.reading() as database:
        found = reliability(database, project_id=key_of(process.project()), account=account)
    if found.empty:
        st.info("Nobody has judged yet.")
        return
    reliability_table(found)
    names = dict(zip(found["annotator_id"], found["name"], strict=True))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Annotator", list(names), format_func=lambda one: names[one], width=240
        )
        st.button("Let through", on_click=_pass, args=(int(chosen),))
        st.button("One more attempt", on_click=_reset, args=(int(chosen),))
    st.caption(
        "“Let through” ends the qualification of an annotator whatever the test says; "
        "“One more attempt” begins a new one. Both are recorded."
    )


def reliability_table(found: pandas.DataFrame) -> None:
    """Draw one row an annotator: gold, self-agreement, pace, qualification."""
    number = st.column_config.NumberColumn
    columns = {
        "name": "Name",
        "judgments": number("Judgments", help="Of every kind of task"),
        "gold": share(
            "Gold", help="Share of pairs right on gold tasks, first answers; a tie counts half"
        ),
        "gold_tasks": number("of tasks"),
        "self_agreement": share(
            "Agrees with self",
            help="Share of pairs ordered alike when a task came a second time",
        ),
        "self_pairs": number("of pairs"),
        "fast": share("Too fast", help="Share of judgments quicker than reading"),
        "qualification": "Qualification",
    }
    st.dataframe(
        whole_percents(found.drop(columns=["annotator_id"]), columns),
        hide_index=True,
        placeholder="–",
        column_config=columns,
    )


def _task_table(found: pandas.DataFrame) -> None:
    last = found["messages"].map(lambda messages: messages[-1]["content"])
    shown = pandas.DataFrame(
        {
            "Task": found["task_id"],
            "Set": found["kind"],
            "Prompt": last.str.slice(0, 200),
            "Known ranks": found["ranks"].map(lambda ranks: " ".join(map(str, ranks))),
            "Answers": found["answers"],
            "Right": found["right"],
            "Explanation": found["explanation"],
        }
    )
    columns = {"Right": share(help="A low share may mean that the known answer is wrong")}
    st.dataframe(
        whole_percents(shown, columns), hide_index=True, placeholder="–", column_config=columns
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox("Task", list(found["task_id"]), width=160)
        st.button("Withdraw it", on_click=_withdraw, args=(int(chosen),))


def _add_file(account: Account) -> None:
    with st.expander("Add tasks from a file"):
        st.text(
            "JSONL, CSV or Parquet; a row has prompt (or messages), completions, ranks (1 is "
            "best), and may have explanation and set (gold or qualification)."
        )
        file = st.file_uploader("File", type=KINDS)
        kind = st.radio("Rows without a set go to", ["gold", "qualification"], horizontal=True)
        if st.button("Add", type="primary", disabled=file is None):
            _import(account, file, kind)


def _import(account: Account, file: Any, kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # Of the name, which anyone can forge, only the ending counts.
        ending = next((one for one in ENDINGS if file.name.lower().endswith(one)), ".jsonl")
        path = Path(folder) / f"the-file{ending}"
        path.write_bytes(file.getvalue())
        try:
            known = read_known_answers(path)
            with process.writing() as database:
                done = import_known_answers(
                    database,
                    project=_project(database),
                    known=known,
                    by=account,
                    heldout_share=process.settings().heldout_share,
                    kind=TaskKind(kind),
                )
        except RankloopError as error:
            st.error(plain(str(error).replace(f"{folder}/", "")))
            return
    st.toast(
        f"{counted(done.gold, 'gold task')} and "
        f"{counted(done.qualification, 'qualification task')} added, "
        f"{done.duplicates:,} {form(done.duplicates, 'was', 'were')} there already."
    )
    st.rerun()


def _withdraw(task_id: int) -> None:
    account = session.require_account()

    def deed(database: Session) -> str:
        withdraw_known_answer(database, task_id=task_id, by=account)
        return f"Task {task_id} is lent to nobody any more."

    _do(deed)


def _pass(account_id: int) -> None:
    account = session.require_account()

    def deed(database: Session) -> str:
        project = _project(database)
        wave_through(database, project=project, account_id=account_id, by=account)
        return "They may do real work now."

    _do(deed)


def _reset(account_id: int) -> None:
    account = session.require_account()

    def deed(database: Session) -> str:
        project = _project(database)
        reset_qualification(database, project=project, account_id=account_id, by=account)
        return "They will be given the qualification once more."

    _do(deed)


def _do(deed: Callable[[Session], str]) -> None:
    try:
        with process.writing() as database:
            said = deed(database)
    except RankloopError as error:
        said = str(error)
    st.toast(plain(said))


def _project(database: Session) -> Project:
    return database.get_one(Project, key_of(process.project()))
