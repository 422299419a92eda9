"""What one open ranking page remembers between two runs of its script, and what its events do."""

import logging
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from storage.errors import RankloopError
from storage.tables import Account
from ui import process
from ui.components.ranking import (
    BeatEvent,
    Deed,
    DraftEvent,
    FlagEvent,
    RewriteEvent,
    SkipEvent,
    SubmitEvent,
    UndoEvent,
    parse,
)
from ui.database import again_where_cut
from ui.languages import Words
from ui.languages.sentences import translated
from ui.observing.instruments import observed
from ui.ranking import deeds
from ui.ranking.desk import Desk
from ui.ranking.desk import look as look_at_desk

_SAME_RUN_SECONDS = 1.0
_log = logging.getLogger(__name__)


@dataclass
class Sitting:
    """Hold an annotator's page: what lies before them, and what there is to tell them.

    Everything that must outlive it is in the database: a reload or another server begins a new one
    and shows the same. `still` says that the next run of the script has nothing to look up.
    """

    id: str = field(default_factory=lambda: uuid4().hex)
    correcting: int | None = None
    desk: Desk | None = None
    still: bool = False
    refusal: dict[str, str] | None = None
    feedback: dict[str, str] | None = None
    done: str = ""
    warned: int = 0
    account: tuple[Account, float] | None = None

    @property
    def at_work(self) -> bool:
        """Say whether the annotator is in the midst of something that nothing should cover."""
        return self.still or self.correcting is not None

    def take_account(self) -> Account | None:
        """Return who did what this run of the script began with, once; None where it was nothing.

        Their sign-in was looked up for the deed, in the same run, an instant ago.
        """
        known, self.account = self.account, None
        return known[0] if known and time.monotonic() - known[1] < _SAME_RUN_SECONDS else None

    def look(
        self, *, account: Account, midnight: datetime, words: Words, unless_unread: bool = False
    ) -> Desk:
        """Return the annotator's desk: as it was after a draft or heartbeat, else looked at anew.

        `unless_unread`: no new task is lent while there are guidelines to read first.
        Where the database does not answer, what was shown last stays; without any, raises.
        """
        still, self.still = self.still, False
        if still and self.desk is not None:
            return self.desk
        try:
            self.desk = again_where_cut(
                lambda: look_at_desk(
                    process.engine(),
                    project_id=process.project_id(),
                    account=account,
                    minutes=process.settings().assignment_minutes,
                    midnight=midnight,
                    correcting=self.correcting,
                    unless_unread=unless_unread,
                )
            )
        except SQLAlchemyError:
            if self.desk is None:
                raise
            self._no_database(words)
            return self.desk
        except RankloopError as error:
            if self.correcting is None:
                raise
            self.correct(None)
            self.refuse(str(error))
            return self.look(account=account, midnight=midnight, words=words)
        return self.desk

    def as_data(self, words: Words) -> dict[str, Any]:
        """Return what the ranking component is given."""
        assert self.desk is not None
        return self.desk.as_data(words) | {"sitting": self.id} | self.said(words)

    def said(self, words: Words) -> dict[str, Any]:
        """Return what became of the last event, as the component is told."""
        return {
            "refusal": _in_words(self.refusal, words),
            "feedback": _in_words(self.feedback, words),
            "done": self.done,
        }

    def stands(self, words: Words) -> bool:
        """Say whether there is a task that may stay on the page while the database is away.

        What is done to it meanwhile is refused in plain words, and can be sent again.
        """
        if self.desk is None or self.desk.task is None:
            return False
        self._no_database(words)
        return True

    def act(self, *, account: Account, name: Deed, value: object, words: Words) -> None:
        """Carry out one event of the component; what is refused is said and changes nothing."""
        self.still = name in ("draft", "beat", "rewrite") and self._shows(value)
        try:
            with observed(name, account_id=account.id):
                # Each may be done twice: a nonce, or the state it leaves, sees to that.
                again_where_cut(lambda: _ACTS[name](self, account, value, words))
        except RankloopError as error:
            self.refuse(str(error))
        except SQLAlchemyError:
            self._no_database(words)

    def _shows(self, value: object) -> bool:
        # What is on the page may be newer than what this session of the server showed last: it
        # came by `ui.ranking.rank_events`.
        if self.desk is None or self.desk.task is None:
            return self.desk is None
        here = self.desk.task.assignment_id
        return isinstance(value, dict) and value.get("assignment") == here

    def refuse(self, text: str, *, named: str = "") -> None:
        """Tell the annotator what was not done; what has the same name is told once."""
        self.refusal = {"id": named or uuid4().hex, "text": text}

    def correct(self, assignment_id: int | None) -> None:
        """Show a judged assignment to be corrected, or (None) the task at hand again."""
        self.correcting, self.still = assignment_id, False
        self.refusal = self.feedback = None

    def _next(self, nonce: str, refusal: str = "", feedback: str = "") -> None:
        self.correct(None)
        self.done = nonce
        self.feedback = {"id": nonce, "text": feedback} if feedback else None
        if refusal:
            self.refuse(refusal)

    def _no_database(self, words: Words) -> None:
        _log.exception("the database did not answer")
        self.refuse(words.say("server.trouble"))


def _in_words(told: dict[str, str] | None, words: Words) -> dict[str, str] | None:
    return told and {**told, "text": translated(told["text"], words)}


def _submit(sitting: Sitting, account: Account, value: object, _words: Words) -> None:
    event = parse(SubmitEvent, value)
    result = deeds.submit(process.engine(), account=account, event=event)
    said = "" if result.stored else result.message
    sitting._next(event.nonce, refusal=said, feedback=result.feedback)


def _skip(sitting: Sitting, account: Account, value: object, _words: Words) -> None:
    event = parse(SkipEvent, value)
    told = deeds.skip(process.engine(), account=account, event=event)
    sitting._next(event.nonce, feedback=told)


def _flag(sitting: Sitting, account: Account, value: object, _words: Words) -> None:
    event = parse(FlagEvent, value)
    told = deeds.flag(process.engine(), account=account, event=event)
    sitting._next(event.nonce, feedback=told)


def _undo(sitting: Sitting, account: Account, value: object, _words: Words) -> None:
    parse(UndoEvent, value)
    project = process.project()
    sitting.correct(deeds.undo(process.engine(), account=account, project=project))


def _draft(_sitting: Sitting, account: Account, value: object, _words: Words) -> None:
    deeds.draft(process.engine(), account=account, event=parse(DraftEvent, value))


def _beat(sitting: Sitting, account: Account, value: object, words: Words) -> None:
    event = parse(BeatEvent, value)
    minutes = process.settings().assignment_minutes
    lent = deeds.beat(process.engine(), account=account, event=event, minutes=minutes)
    if not lent and sitting.correcting is None and sitting.warned != event.assignment:
        sitting.warned = event.assignment
        sitting.refuse(words.say("lease.lost"), named=f"lost {event.assignment}")


def _rewrite(sitting: Sitting, account: Account, value: object, words: Words) -> None:
    event = parse(RewriteEvent, value)
    deeds.rewrite(process.engine(), account=account, project=process.project(), event=event)
    sitting.done = event.nonce
    sitting.refusal = None
    sitting.feedback = {"id": event.nonce, "text": words.say("rewrite.saved")}


_ACTS = {
    "submit": _submit,
    "skip": _skip,
    "flag": _flag,
    "undo": _undo,
    "draft": _draft,
    "beat": _beat,
    "rewrite": _rewrite,
}
