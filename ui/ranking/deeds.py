"""What becomes of what annotators do on the ranking page; all they send is given by place."""

from sqlalchemy import Engine

from labeling.judging.drafts import drop_draft, keep_draft
from labeling.judging.judgments import (
    Submission,
    flag_assignment,
    reopen_last,
    skip_assignment,
    submit_judgment,
)
from labeling.judging.rewrites import rewrite_completion
from labeling.keys import key_of
from labeling.work_queue.assignment import prolong
from storage.engine import writing
from storage.errors import BadInput
from storage.tables import Account, Project
from ui.components.ranking import (
    BeatEvent,
    DraftEvent,
    FlagEvent,
    RewriteEvent,
    SkipEvent,
    SubmitEvent,
)


def submit(engine: Engine, *, account: Account, event: SubmitEvent) -> Submission:
    """Store a ranking with its answers; raise what `submit_judgment` raises."""
    with writing(engine) as session:
        return submit_judgment(
            session,
            assignment_id=event.assignment,
            annotator_id=key_of(account),
            ranks=event.ranks_by_place,
            by_place=True,
            milliseconds=event.milliseconds,
            nonce=event.nonce,
            rationale=event.rationale,
            flags=event.flags,
            strength=event.strength,
            likert=event.likert_by_place,
            checks=event.checks_by_place,
        )


def skip(engine: Engine, *, account: Account, event: SkipEvent) -> str:
    """Put a task aside; return what to tell the annotator; raise what `skip_assignment` raises."""
    with writing(engine) as session:
        return skip_assignment(
            session,
            assignment_id=event.assignment,
            annotator_id=key_of(account),
            reason=event.reason,
        )


def flag(engine: Engine, *, account: Account, event: FlagEvent) -> str:
    """Put a task aside for the leads, as `skip` does; raise what `flag_assignment` raises."""
    with writing(engine) as session:
        return flag_assignment(
            session,
            assignment_id=event.assignment,
            annotator_id=key_of(account),
            flags=event.flags,
            comment=event.comment,
        )


def undo(engine: Engine, *, account: Account, project: Project) -> int:
    """Return the assignment that the annotator judged last; raise `NotFound` without one."""
    with writing(engine) as session:
        last = reopen_last(session, annotator_id=key_of(account), project_id=key_of(project))
    return last.assignment_id


def leave_as_it_was(engine: Engine, *, account: Account, assignment_id: int) -> None:
    """Give up a correction: the judgment stays, the draft goes."""
    with writing(engine) as session:
        drop_draft(session, assignment_id=assignment_id, annotator_id=key_of(account))


def draft(engine: Engine, *, account: Account, event: DraftEvent) -> bool:
    """Keep a draft; say whether it was still wanted."""
    named, _, judged_before = event.serial.rpartition(".")
    if named != str(event.assignment) or not judged_before.isdecimal():
        raise BadInput("The page sent a draft of another task; load it again.")
    with writing(engine) as session:
        return keep_draft(
            session,
            assignment_id=event.assignment,
            annotator_id=key_of(account),
            draft=event.draft,
            judged_before=int(judged_before),
        )


def beat(engine: Engine, *, account: Account, event: BeatEvent, minutes: float) -> bool:
    """Keep the task lent while its page is open; say whether it still is."""
    with writing(engine) as session:
        until = prolong(
            session,
            assignment_id=event.assignment,
            annotator_id=key_of(account),
            minutes=minutes,
        )
    return until is not None


def rewrite(engine: Engine, *, account: Account, project: Project, event: RewriteEvent) -> None:
    """Store a better answer than the one shown; raise what `rewrite_completion` raises."""
    with writing(engine) as session:
        rewrite_completion(
            session,
            project=project,
            account=account,
            assignment_id=event.assignment,
            place=event.place,
            text=event.text,
            nonce=event.nonce,
        )
