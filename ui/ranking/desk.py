"""What lies before one annotator: a task or a judgment to correct, and all the page shows of it."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Engine
from sqlmodel import Session

from labeling.judging.drafts import count_judged, unfinished_correction
from labeling.judging.history import comment_on, judged_task
from labeling.judging.surroundings import Surroundings, surroundings_of
from labeling.keys import key_of
from labeling.labeling_sections import PageSettings
from labeling.news import Learned
from labeling.quality_control.guidelines import guidelines_to_read
from labeling.quality_control.qualification import under_way
from labeling.work_queue.assignment import AssignedTask, next_assignment
from storage.engine import reading, writing
from storage.tables import Account
from ui.components.ranking import DIRECTLY
from ui.languages import Words, words_for
from ui.languages.criteria_words import shown_criteria

_WORDS_OF_OTHER_PAGES = (
    "criterion.",
    "error.",
    "feedback.",
    "guidelines.",
    "history.",
    "qualification.",
    "sign_in.",
    "sign_out.",
    "waiting.",
    "write.",
)


@dataclass(frozen=True)
class Desk:
    """Hold what the page shows: the task (None: all done), its draft, own counts, news.

    `judged_before` counts the judgments that the annotator has given of this very assignment: 0 but
    for a correction. `comment` is a lead's, where the judgment to be corrected was sent back.
    `qualifying` is (which task, of how many) where the task is of their qualification. `unread`: no
    task was lent, as there are guidelines to read first. `id` names this look.
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
    unread: bool = False
    id: str = field(default_factory=lambda: uuid4().hex)

    @property
    def direct(self) -> bool:
        """Say whether nothing but the component is on the page, so that it may be told directly."""
        return self.judged_before == 0 and self.qualifying is None

    @property
    def serial(self) -> str:
        """Return the name of this showing: it stays through a reload and a server's restart."""
        assert self.task is not None
        return f"{self.task.assignment_id}.{self.judged_before}"

    def as_data(self, words: Words) -> dict[str, Any]:
        """Return what the ranking component is given: what is shown, and the words around it."""
        return self.shown(words) | {
            "words": _words_of_page(words.language),
            "language": words.language,
            "direction": words.direction,
        }

    def shown(self, words: Words) -> dict[str, Any]:
        """Return the task and all that belongs to it; nothing says whose completion is whose.

        An assignment's number tells how many were lent before it, to anyone, and no more: it is
        drawn neither from the task, nor from its kind, nor from what wrote the completions.
        """
        assert self.task is not None
        page = self.page
        return {
            "serial": self.serial,
            "look": self.id,
            "direct": DIRECTLY if self.direct else "",
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
            "today": self.today,
            "total": self.total,
            "news": self.news,
            "can_undo": self.total > 0 and self.judged_before == 0,
            "guideline_version": self.guideline_version,
        }


@cache
def _words_of_page(language: str) -> dict[str, str]:
    return {
        key: text
        for key, text in words_for(None, language).texts.items()
        if not key.startswith(_WORDS_OF_OTHER_PAGES)
    }


def look(
    engine: Engine,
    *,
    project_id: int,
    account: Account,
    minutes: float,
    midnight: datetime,
    correcting: int | None = None,
    unless_unread: bool = False,
) -> Desk:
    """Return the annotator's desk: the judged assignment `correcting`, else a task lent to them.

    Raises what `next_assignment` and `judged_task` raise.
    """
    here, me = project_id, key_of(account)
    if correcting is not None:
        with reading(engine) as session:
            around = surroundings_of(session, project_id=here, annotator_id=me, since=midnight)
            task, answers = judged_task(session, annotator_id=me, assignment_id=correcting)
            judged = count_judged(session, assignment_id=correcting)
            comment = comment_on(session, assignment_id=correcting)
            task = replace(task, draft=task.draft or answers)
            return _desk(session, here, me, around, task, judged_before=judged, comment=comment)
    with writing(engine) as session:
        around = surroundings_of(session, project_id=here, annotator_id=me, since=midnight)
        if unless_unread and around.unread and _nothing_at_hand(session, here, me):
            return _nothing_lent()
        found = next_assignment(session, project_id=here, annotator_id=me, minutes=minutes)
        return _desk(session, here, me, around, found)


def _desk(
    session: Session,
    project_id: int,
    me: int,
    around: Surroundings,
    task: AssignedTask | None,
    *,
    judged_before: int = 0,
    comment: str = "",
) -> Desk:
    return Desk(
        task=task,
        draft=task.draft if task else None,
        judged_before=judged_before,
        comment=comment,
        today=around.today,
        total=around.total,
        news=_news(around.learned),
        page=around.settings.page,
        guideline_version=around.guideline_version,
        qualifying=_qualifying(session, project_id, me, around, task),
    )


def _qualifying(
    session: Session, project_id: int, me: int, around: Surroundings, task: AssignedTask | None
) -> tuple[int, int] | None:
    if task is None or not around.tested:
        return None
    return under_way(session, project_id=project_id, account_id=me, task_id=task.task_id)


def _nothing_at_hand(session: Session, project_id: int, me: int) -> bool:
    return guidelines_to_read(session, project_id=project_id, account_id=me) is not None


def _nothing_lent() -> Desk:
    return Desk(None, None, 0, "", 0, 0, None, PageSettings(), None, None, unread=True)


def correction_begun(engine: Engine, *, project_id: int, account: Account) -> int | None:
    """Return the judged assignment whose correction the annotator left unfinished, or None."""
    with reading(engine) as session:
        return unfinished_correction(session, project_id=project_id, annotator_id=key_of(account))


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
