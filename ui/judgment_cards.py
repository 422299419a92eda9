"""One's own judgments as cards: when, how one ranked, what was shown, and a way to correct it."""

from datetime import datetime
from zoneinfo import ZoneInfo

import streamlit as st

from labeling.judging.history import OwnJudgment, reopen_judgment
from labeling.judging.rankings import order_in_words
from labeling.keys import key_of
from storage.tables import Account
from ui import page_links, process
from ui.languages import Words
from ui.languages.criteria_words import said_criterion, said_flag
from ui.plain_text import plain
from ui.views import rank

LETTERS = "ABCDEFGHI"
LONGEST_LINE = 120


def draw(judgments: list[OwnJudgment], account: Account, words: Words) -> None:
    """Draw one card a judgment; its button opens the task again."""
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
            with process.writing() as rows:
                assignment = reopen_judgment(
                    rows, annotator_id=key_of(account), judgment_id=own.judgment_id
                )
            rank.sitting().correct(assignment)
            page_links.go("rank")


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
        role = message["role"]
        st.caption(plain(words.texts.get(f"role.{role}", role)))
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
        st.text(f"{said_criterion(name, words)}: {', '.join(given)}")
    if answers["strength"]:
        st.text(words.say(f"strength.{answers['strength']}"))
    if answers["flags"]:
        flags = ", ".join(said_flag(each, words) for each in answers["flags"])
        st.text(f"{words.say('flags.label')}: {flags}")
    if answers["rationale"]:
        st.caption(words.say("rationale.label"))
        st.text(answers["rationale"])


def _said(value: int | bool | None, words: Words) -> str:
    if isinstance(value, bool):
        return words.say("criteria.yes" if value else "criteria.no")
    return "–" if value is None else str(value)


def _first_line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def _local(time: datetime) -> datetime:
    return time.astimezone(ZoneInfo(st.context.timezone or "UTC"))
