"""What an erasure cannot reach: copies that left the database before."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import func, or_, select
from sqlmodel import Session, col

from labeling.people.sign_ins import require_own_or_admin
from labeling.privacy.kept import asked_by_name
from labeling.withdrawals.scope import Scope
from labeling.withdrawals.traces import Touched, touched
from storage.errors import NotFound
from storage.plurals import counted, form
from storage.tables import Account, Demonstration, Event, Judgment, Project, Prompt

_COPIES = {
    "database.backed_up": ("backup of the database", "backups of the database"),
    "database.copied": ("copy of the database", "copies of the database"),
    "account.exported": ("export of this person's data", "exports of this person's data"),
    "audit.exported": ("export of the audit log", "exports of the audit log"),
}


def out_of_reach(session: Session, *, account_id: int, by: Account | None, home: Path) -> list[str]:
    """Return sentences that name each kind of copy, newest first within one; none is changed.

    Snapshots and exports have pseudonyms, not names. `by` asks: the person, an admin, or None (the
    server's shell). Every snapshot's rows are read. Raises `NotAllowed`, `NotFound`.
    """
    account = session.get(Account, account_id)
    if account is None:
        raise NotFound(f"There is no account {account_id}; list them again.")
    require_own_or_admin(account, by)
    scope = Scope(annotator_id=account_id)
    found = []
    for project in _projects(session, account_id):
        traces = touched(session, project=project, account=None, scope=scope, home=home)
        found += [f"Project {project.name}: {each}" for each in _of_project(traces)]
    found += [*_queries(session, account), *_copies(session, account_id), *_beside(session)]
    return [*found, *_ELSEWHERE]


#: what an erasure says where somebody read the database at that moment
LOG_LEFT = (
    "SQLite's log (the file ending in -wal) may hold what was there before until it is written "
    "over: restart the server, or erase anybody else."
)


def _beside(session: Session) -> Iterator[str]:
    """Yield a sentence that names what upgrades and restores left beside a SQLite file."""
    bind = session.get_bind()
    if bind.dialect.name != "sqlite" or not bind.engine.url.database:
        return
    file = Path(bind.engine.url.database)
    copies = sorted(
        each.name for each in file.parent.glob(f"{file.name}.*") if each.suffix != ".part"
    )
    if copies:
        hold = form(len(copies), "holds", "hold")
        yield f"{', '.join(copies)} beside the database {hold} what was there before; delete such."


_ELSEWHERE = (
    "Log files of the server, and of proxies before it, may hold addresses and account numbers.",
    "Prompts and answers that the person wrote stay in the project, under a number alone.",
)


def _projects(session: Session, account_id: int) -> list[Project]:
    judged = select(col(Judgment.project_id)).where(col(Judgment.annotator_id) == account_id)
    written = (
        select(col(Prompt.project_id))
        .join(Demonstration, col(Demonstration.prompt_id) == col(Prompt.id))
        .where(col(Demonstration.annotator_id) == account_id)
    )
    theirs = or_(col(Project.id).in_(judged), col(Project.id).in_(written))
    return list(session.scalars(select(Project).where(theirs).order_by(col(Project.id))))


def _of_project(traces: Touched) -> Iterator[str]:
    if traces.snapshots:
        numbers = ", ".join(str(one.id) for one in traces.snapshots)
        hold = form(len(traces.snapshots), "snapshot {} holds", "snapshots {} hold").format(numbers)
        yield f"{hold} their judgments under a pseudonym."
    if traces.exports:
        newest = max(one.at for one in traces.exports)
        yield (
            f"{counted(len(traces.exports), 'export')} may hold them under a pseudonym, the newest "
            f"of {newest:%Y-%m-%d %H:%M} UTC; whoever has a copy must delete it."
        )
    if traces.policies:
        versions = ", ".join(str(one.version) for one in traces.policies)
        were = form(len(traces.policies), "policy {} was", "policies {} were").format(versions)
        yield f"{were} trained on them."


def _queries(session: Session, account: Account) -> Iterator[str]:
    asked = asked_by_name(session, account.name)
    if asked:
        numbers = ", ".join(str(one.id) for one in asked)
        was = form(len(asked), "Snapshot {} was", "Snapshots {} were").format(numbers)
        yield f"{was} asked for by their name, which stays in the folder's manifest.json."


def _copies(session: Session, account_id: int) -> Iterator[str]:
    for kind, words in _COPIES.items():
        statement = select(func.count(), func.max(col(Event.created_at))).where(
            col(Event.kind) == kind
        )
        if kind == "account.exported":
            about = col(Event.detail)["whose_id"].as_integer() == account_id
            statement = statement.where(about)
        count, newest = session.execute(statement).one()
        if count:
            stay = form(count, "is as it was", "are as they were")
            yield f"{counted(count, *words)}, the newest of {newest:%Y-%m-%d %H:%M} UTC, {stay}."
