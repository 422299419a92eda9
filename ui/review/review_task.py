"""A task under review: its texts with a rank each, every judgment, and the deeds."""

from typing import Any

import streamlit as st

from labeling.judging.rankings import order_in_words
from labeling.review import adjudication
from labeling.review.reviewed_task import PastDecision, ReviewedJudgment, ReviewedTask
from labeling.review.reviews import LETTERS
from storage.tables import AccountKind, ReviewDecision, TaskStatus
from ui import unsaved
from ui.plain_text import plain
from ui.review import known_answer_offer
from ui.review.review_deeds import TASK, act, draw_refusal, place_of, refuse

STRENGTHS = ("", "negligibly", "slightly", "clearly", "significantly")
WORDS = {
    ReviewDecision.DECIDED: "decided",
    ReviewDecision.KEPT: "kept it as it is",
    ReviewDecision.RETURNED: "sent it back",
    ReviewDecision.DISCARDED: "discarded it",
    ReviewDecision.RESTORED: "restored it",
    ReviewDecision.WITHDRAWN: "withdrew it",
    ReviewDecision.REQUEUED: "gave it to one more annotator",
}


def show(task: ReviewedTask, then: int) -> None:
    """Draw the task; `then` is the task to go to after a decision on this one."""
    with st.container(border=True):
        st.caption("Prompt")
        for message in task.messages:
            if len(task.messages) > 1:
                st.caption(plain(message["role"].capitalize()))
            st.text(message["content"])
    _completions(task)
    _decision(task, then)
    if task.judgments or task.put_aside:
        st.subheader("What annotators said")
    for judgment in task.judgments:
        _judgment(task, judgment)
    for aside in task.put_aside:
        said = ", ".join(filter(None, [*aside.flags, aside.said]))
        st.text(f"{aside.annotator} {aside.state.value} it: {said}")
    if task.decisions:
        st.subheader("What leads decided")
        for decision in task.decisions:
            st.text(_past(decision))


def _completions(task: ReviewedTask) -> None:
    k = len(task.completions)
    a_row = 3 if k in (3, 5, 6, 9) else 2
    for start in range(0, k, a_row):
        for place, position in zip(
            st.columns(a_row), range(start, min(start + a_row, k)), strict=False
        ):
            with place.container(border=True, height="stretch"):
                st.markdown(f"**{LETTERS[position]}**")
                # Its style ends long texts early, with a bar to scroll: the ranks stay in sight.
                with st.container(key=f"review-text-{position}", height="stretch"):
                    st.text(task.completions[position])
                given = [f"{one.annotator}: rank {one.ranks[position]}" for one in _standing(task)]
                st.caption(plain(" · ".join(given) or "Not ranked"))
                ranks, key = range(1, k + 1), _rank_key(task.task_id, position)
                label, filled = f"Rank of {LETTERS[position]}", unsaved.field(key, among=ranks)
                st.segmented_control(label, list(ranks), **filled)


def _standing(task: ReviewedTask) -> list[ReviewedJudgment]:
    return [one for one in task.judgments if not one.discarded]


def _decision(task: ReviewedTask, then: int) -> None:
    why = unsaved.key_for("why", task.task_id)
    st.text_input("Why (kept with the decision)", max_chars=2000, **unsaved.field(why))
    seen = len(task.decisions)
    whole = {"task_id": task.task_id}
    with st.container(horizontal=True):
        st.button(
            "Decide", type="primary", shortcut="Ctrl+Enter", on_click=_decide,
            args=(task, then, why), help="Your ranking becomes the task's label",
        )  # fmt: skip
        st.button(
            "Keep as it is", shortcut="K", on_click=act,
            args=(adjudication.keep, "Kept as it is.", seen, then, ("comment", why)),
            kwargs=whole,
            help="Off the queue until somebody says something new",
        )  # fmt: skip
        st.button(
            "One more annotator", shortcut="M", on_click=act,
            args=(
                adjudication.requeue, "One more annotator will judge it.",
                seen, then, ("comment", why),
            ),
            kwargs=whole,
        )  # fmt: skip
        if task.status is not TaskStatus.WITHDRAWN:
            st.button(
                "Withdraw", shortcut="W", on_click=act,
                args=(
                    adjudication.withdraw, "Withdrawn: nobody is asked any more.",
                    seen, then, ("reason", why),
                ),
                kwargs=whole, help="Nobody else is asked; say why above",
            )  # fmt: skip
        known_answer_offer.offer(task.task_id, lambda: _given(task))
    draw_refusal(TASK)


def _decide(task: ReviewedTask, then: int, why: str) -> None:
    ranks = _given(task)
    if ranks is None:
        return
    seen, done = len(task.decisions), f"Decided: {order_in_words(ranks, LETTERS)}."
    keys = [_rank_key(task.task_id, position) for position in range(len(ranks))]
    act(
        adjudication.decide, done, seen, then, ("reason", why), keys,
        task_id=task.task_id, ranks=ranks,
    )  # fmt: skip


def _given(task: ReviewedTask) -> list[int] | None:
    """Return the lead's own ranking; None, and say what is missing, where it is not whole."""
    given = {
        position: st.session_state.get(_rank_key(task.task_id, position))
        for position in range(len(task.completions))
    }
    ranks = [rank for rank in given.values() if rank is not None]
    if len(ranks) < len(given):
        missing = ", ".join(LETTERS[at] for at, rank in given.items() if rank is None)
        refuse(f"Give {missing} a rank first; equal ranks are a tie.")
        return None
    return ranks


def _judgment(task: ReviewedTask, one: ReviewedJudgment) -> None:
    with st.container(border=True):
        name = f"**{plain(one.annotator)}**" + (
            "" if one.kind == AccountKind.PERSON else " · model"
        )
        if one.kind == AccountKind.SIMULATED:
            name = f"**{plain(one.annotator)}** · simulated"
        order = plain(order_in_words(one.ranks, LETTERS))
        st.markdown(f"{name} · {order}" if not one.discarded else f"{name} · ~~{order}~~ discarded")
        st.caption(plain(" · ".join(_details(one))))
        if one.rationale:
            st.text(one.rationale)
        with st.container(horizontal=True):
            st.button(
                "Use this ranking", key=f"use-{one.judgment_id}", on_click=_use, args=(task, one)
            )
            if one.kind == AccountKind.PERSON and not one.returned:
                _asked(
                    "Send back", "What should they look at again?", "Send back to them",
                    task, one, adjudication.send_back, "comment", "Sent back.",
                )  # fmt: skip
            if one.discarded:
                st.button(
                    "Restore", key=f"restore-{one.judgment_id}", on_click=act,
                    args=(adjudication.restore, "It counts again.", len(task.decisions), None),
                    kwargs={"judgment_id": one.judgment_id},
                )  # fmt: skip
            else:
                _asked(
                    "Discard", "Why should it not count?", "Discard it",
                    task, one, adjudication.discard, "reason", "Discarded.",
                )  # fmt: skip
        draw_refusal(place_of(one.judgment_id))


def _asked(
    title: str,
    question: str,
    button: str,
    task: ReviewedTask,
    one: ReviewedJudgment,
    deed: Any,
    field: str,
    told: str,
) -> None:
    """Draw a button that asks for a text before it acts."""
    # A key of its own for each state of the task: after a deed the popover is closed again, and
    # none that was open turns into its neighbour.
    with st.popover(title, key=f"ask-{field}-{one.judgment_id}-{len(task.decisions)}"):
        typed = unsaved.key_for(field, one.judgment_id)
        st.text_area(question, **unsaved.field(typed))
        st.button(
            button, key=f"{field}-{one.judgment_id}", on_click=act,
            args=(deed, told, len(task.decisions), None, (field, typed)),
            kwargs={"judgment_id": one.judgment_id},
        )  # fmt: skip


def _use(task: ReviewedTask, one: ReviewedJudgment) -> None:
    for position, rank in enumerate(one.ranks):
        st.session_state[_rank_key(task.task_id, position)] = rank


def _details(one: ReviewedJudgment) -> list[str]:
    found = [f"{STRENGTHS[one.strength]} better"] if one.strength else []
    for name, answers in one.answers.items():
        given = [
            f"{LETTERS[position]} {_answer(answer)}"
            for position, answer in enumerate(answers)
            if answer is not None
        ]
        found += [f"{name}: {', '.join(given)}"] if given else []
    found += [f"flagged {flag}" for flag in one.flags]
    found += [f"marked {mark}" for mark in one.marks]
    found += [] if one.seconds is None else [f"{one.seconds:.0f} s"]
    found += [f"{one.created_at:%Y-%m-%d %H:%M} UTC"]
    found += ["a correction"] if one.corrects else []
    found += ["sent back, not judged again yet"] if one.returned else []
    return found


def _answer(answer: Any) -> str:
    return {True: "yes", False: "no"}[answer] if isinstance(answer, bool) else str(answer)


def _past(one: PastDecision) -> str:
    about = f" (of {one.annotator})" if one.annotator else ""
    label = f": {order_in_words(one.ranks, LETTERS)}" if one.ranks else ""
    said = f". {one.said}" if one.said else ""
    return f"{one.created_at:%Y-%m-%d %H:%M} {one.by} {WORDS[one.decision]}{about}{label}{said}"


def _rank_key(task_id: int, position: int) -> str:
    return unsaved.key_for("rank", task_id, position)
