"""My judgments: what one has judged, newest first, as it was shown, and open to correction."""

from datetime import datetime
from zoneinfo import ZoneInfo

import streamlit as st

from labeling.history import (
    OwnJudgment,
    count_returned,
    own_judgments,
    reopen_judgment,
    returned_judgments,
)
from labeling.keys import key_of
from labeling.rankings import order_in_words
from storage.engine import reading, writing
from storage.tables import Account
from ui import process, session
from ui.languages import Words
from ui.plain_text import plain
from ui.views import rank

PAGE_SIZE = 10
LETTERS = "ABCDEFGHI"


def title(account: Account, words: Words) -> str:
    """Return the page's name in the navigation, with how many judgments were sent back."""
    with reading(process.engine()) as rows:
        returned = count_returned(
            rows, project_id=key_of(process.project()), annotator_id=key_of(account)
        )
    return f"{words.say('history.title')} ({returned})" if returned else words.say("history.title")


def show() -> None:
    """Show what was sent back first, then a page of the annotator's own judgments."""
    account, words = session.require_account(), session.words()
    st.title(words.say("history.title"))
    here, me = key_of(process.project()), key_of(account)
    before = st.session_state.get("history_before")
    with reading(process.engine()) as rows:
        returned = returned_judgments(rows, project_id=here, annotator_id=me)
        found = own_judgments(
            rows, project_id=here, annotator_id=me, before=before, count=PAGE_SIZE + 1
        )
    if not found and before is None:
        st.info(words.say("history.none"))
    if returned and before is None:
        st.subheader(words.say("history.returned"))
        _list(returned, account, words)
        st.subheader(words.say("history.all"))
    above = {each.judgment_id for each in returned} if before is None else set()
    rest = [each for each in found[:PAGE_SIZE] if each.judgment_id not in above]
    _list(rest, account, words)
    _pages(found, before, words)


def _list(judgments: list[OwnJudgment], account: Account, words: Words) -> None:
    for own in judgments:
        with st.container(border=True):
            _head(own, account, words)
            with st.expander(words.say("history.shown")):
                _as_shown(own, words)


def _head(own: OwnJudgment, account: Account, words: Words) -> None:
    if own.comment is not None:
        st.warning(plain(words.say("correct.comment", comment=own.comment)))
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container():
            st.text(_first_line(own.messages[-1]["content"]))
            st.caption(plain(_summary(own, words)))
        label = words.say("history.correct")
        if st.button(label, key=f"correct-{own.assignment_id}", width="content"):
            with writing(process.engine()) as rows:
                assignment = reopen_judgment(
                    rows, annotator_id=key_of(account), judgment_id=own.judgment_id
                )
            rank.sitting().correct(assignment)
            st.switch_page(rank.page(words))


def _summary(own: OwnJudgment, words: Words) -> str:
    said = [
        _local(own.created_at).strftime("%Y-%m-%d %H:%M"),
        order_in_words(own.answers["ranks_by_place"], LETTERS),
    ]
    if own.corrects:
        said.append(words.say("history.corrected"))
    return " · ".join(said)


def _as_shown(own: OwnJudgment, words: Words) -> None:
    for message in own.messages:
        st.caption(words.say(f"role.{message['role']}"))
        st.text(message["content"])
    ranks = own.answers["ranks_by_place"]
    for place in sorted(range(len(ranks)), key=lambda place: ranks[place]):
        with st.container(border=True):
            letter = LETTERS[place]
            st.caption(words.say("card.ranked", letter=letter, rank=ranks[place]))
            st.text(own.completions[place])
    _answers(own, words)


def _answers(own: OwnJudgment, words: Words) -> None:
    answers = own.answers
    for name, row in {**answers["likert"], **answers["checks"]}.items():
        given = [f"{LETTERS[place]} {_said(value, words)}" for place, value in enumerate(row)]
        st.text(f"{name}: {', '.join(given)}")
    if answers["strength"]:
        st.text(words.say(f"strength.{answers['strength']}"))
    if answers["flags"]:
        st.text(f"{words.say('flags.label')}: {', '.join(answers['flags'])}")
    if answers["rationale"]:
        st.caption(words.say("rationale.label"))
        st.text(answers["rationale"])


def _said(value: int | bool | None, words: Words) -> str:
    if isinstance(value, bool):
        return words.say("criteria.yes" if value else "criteria.no")
    return "–" if value is None else str(value)


def _pages(found: list[OwnJudgment], before: int | None, words: Words) -> None:
    with st.container(horizontal=True):
        if before is not None:
            st.button(words.say("history.newest"), on_click=_go_to, args=(None,))
        if len(found) > PAGE_SIZE:
            oldest = found[PAGE_SIZE - 1].judgment_id
            st.button(words.say("history.older"), on_click=_go_to, args=(oldest,))


def _go_to(before: int | None) -> None:
    st.session_state["history_before"] = before


def _first_line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 120 else f"{line[:119]}…"


def _local(time: datetime) -> datetime:
    return time.astimezone(ZoneInfo(st.context.timezone or "UTC"))
