"""What lies before one annotator: a task or a judgment to correct, and all the page shows of it."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Engine
from sqlmodel import Session

from labeling.judging.counts import count_own
from labeling.judging.drafts import count_judged, draft_of, unfinished_correction
from labeling.judging.history import comment_on, judged_task
from labeling.keys import key_of
from labeling.labeling_settings import PageSettings, settings_of
from labeling.news import Learned, learned_from
from labeling.quality_control.guidelines import version_in_force
from labeling.quality_control.qualification import under_way
from labeling.work_queue.assignment import AssignedTask, next_assignment
from storage.engine import reading, writing
from storage.tables import Account
from ui.languages import Words
from ui.languages.criteria_words import shown_criteria

_WORDS_OF_OTHER_PAGES = (
    "criterion.",
    "error.",
    "feedback.",
    "guidelines.",
    "history.",
    "qualification.",
    "sign_in.",
    "waiting.",
    "write.",
)


@dataclass(frozen=True)
class Desk:
    """Hold what the page shows: the task (None: all done), its draft, own counts, news.

    `judged_before` counts the judgments that the annotator has given of this very assignment: 0 but
    for a correction. `comment` is a lead's, where the judgment to be corrected was sent back.
    `qualifying` is (which task, of how many) while the qualification lasts.
    """

    task: AssignedTask | None
    draft: dict[str, Any] | None
    judged_before: int
    comment: str
    today: int
    total: int
    news: dict[str, Any] | None
    page: PageSettings
    guideline_version: int | None
    qualifying: tuple[int, int] | None

    @property
    def serial(self) -> str:
        """Return the name of this showing: it stays through a reload and a server's restart."""
        assert self.task is not None
        return f"{self.task.assignment_id}.{self.judged_before}"

    def as_data(self, words: Words) -> dict[str, Any]:
        """Return what the ranking component is given; nothing in it says whose completion is whose.

        An assignment's number tells how many were lent before it, to anyone, and no more: it is
        drawn neither from the task, nor from its kind, nor from what wrote the completions.
        """
        assert self.task is not None
        page = self.page
        return {
            "serial": self.serial,
            "assignment": self.task.assignment_id,
            "messages": self.task.messages,
            "completions": self.task.completions,
            "layout": page.layout,
            "page": {
                "criteria": shown_criteria(page.criteria, words),
                "strength": page.strength and len(self.task.completions) == 2,
                "flags": list(page.flags),
                "rationale": page.rationale,
                "rewrites": page.rewrites,
            },
            "draft": self.draft,
            "words": {
                key: text
                for key, text in words.texts.items()
                if not key.startswith(_WORDS_OF_OTHER_PAGES)
            },
            "language": words.language,
            "direction": words.direction,
            "today": self.today,
            "total": self.total,
            "news": self.news,
            "can_undo": self.total > 0 and self.judged_before == 0,
            "guideline_version": self.guideline_version,
        }


def look(
    engine: Engine,
    *,
    project_id: int,
    account: Account,
    minutes: float,
    midnight: datetime,
    correcting: int | None = None,
) -> Desk:
    """Return the annotator's desk: the judged assignment `correcting`, else a task lent to them.

    Raises what `next_assignment` and `judged_task` raise.
    """
    here, me = project_id, key_of(account)
    task: AssignedTask | None = None
    answers: dict[str, Any] | None = None
    if correcting is None:
        with writing(engine) as session:
            task = next_assignment(session, project_id=here, annotator_id=me, minutes=minutes)
    with reading(engine) as session:
        if correcting is not None:
            task, answers = judged_task(session, annotator_id=me, assignment_id=correcting)
        draft, judged_before, comment = _of_task(session, task, correcting is not None)
        today, total = count_own(session, project_id=here, annotator_id=me, since=midnight)
        return Desk(
            task=task,
            draft=draft or answers,
            judged_before=judged_before,
            comment=comment,
            today=today,
            total=total,
            news=_news(learned_from(session, project_id=here, annotator_id=me)),
            page=settings_of(session, project_id=here).page,
            guideline_version=version_in_force(session, project_id=here),
            qualifying=under_way(session, project_id=here, account_id=me),
        )


def correction_begun(engine: Engine, *, project_id: int, account: Account) -> int | None:
    """Return the judged assignment whose correction the annotator left unfinished, or None."""
    with reading(engine) as session:
        return unfinished_correction(session, project_id=project_id, annotator_id=key_of(account))


def _of_task(
    session: Session, task: AssignedTask | None, correcting: bool
) -> tuple[dict[str, Any] | None, int, str]:
    if task is None:
        return None, 0, ""
    draft = draft_of(session, assignment_id=task.assignment_id)
    if not correcting:
        return draft, 0, ""
    judged = count_judged(session, assignment_id=task.assignment_id)
    return draft, judged, comment_on(session, assignment_id=task.assignment_id)


def _news(learned: Learned | None) -> dict[str, Any] | None:
    """Return what the banner says, or None where nothing of the annotator's was learned from."""
    if learned is None or learned.judgments == 0:
        return None
    return {"id": learned.published_at.isoformat(), "judgments": learned.judgments}


def midnight_in(zone: str | None) -> datetime:
    """Return the start of today where the annotator is (UTC where the zone is not known)."""
    place: tzinfo = UTC
    if zone:
        try:
            place = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            place = UTC
    return datetime.now(place).replace(hour=0, minute=0, second=0, microsecond=0)
