"""A project to label at: annotators who can sign in, and tasks of four completions each.

Completions begin with their task position, so that whoever ranks them knows what a stored ranking
must be, whatever the order in which they were shown.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Engine
from sqlmodel import Session

from benchmarks.pages import PASSWORD
from labeling.accounts import create_account
from labeling.imports.prompt_files import NewPrompt
from labeling.imports.prompts import content_sha256, prompt_row
from labeling.keys import key_of
from labeling.policies import create_first_policy, live_policy
from labeling.projects import create_project, get_project
from labeling.work_queue.tasks import NewCompletion, add_task
from storage.engine import build_engine, writing
from storage.migrate import upgrade
from storage.settings import Settings, load_settings
from storage.tables import Role

COMPLETIONS = 4
WORDS = 80  # of a completion; a prompt has half as many
_ADDED_AT_ONCE = 500


def fill(settings: Settings, *, annotators: int, tasks: int, overlap: int) -> list[str]:
    """Make the database of `settings` with so many annotators and tasks; return their names."""
    engine = build_engine(settings.url)
    upgrade(engine)
    with writing(engine) as session:
        names = _add_annotators(session, annotators)
        project = create_project(session, name=settings.project, settings=settings)
        project.overlap = overlap
        session.add(project)
        create_first_policy(session, project_id=key_of(project), name="none", checkpoint_uri="none")
    for start in range(0, tasks, _ADDED_AT_ONCE):
        add_tasks(engine, settings.project, range(start, min(tasks, start + _ADDED_AT_ONCE)))
    engine.dispose()
    return names


def add_tasks(engine: Engine, project_name: str, numbers: Sequence[int]) -> None:
    """Store a prompt and its task for each number, which must be new to the project."""
    with writing(engine) as session:
        project = get_project(session, name=project_name)
        policy = live_policy(session, project_id=key_of(project))
        for number in numbers:
            asked, texts = task_texts(number)
            prompt = NewPrompt([{"role": "user", "content": asked}], "", "")
            row = prompt_row(prompt, content_sha256(prompt.messages), key_of(project), 0.0)
            session.add(row)
            session.flush()
            add_task(
                session,
                project=project,
                prompt_id=key_of(row),
                policy_id=key_of(policy),
                completions=[NewCompletion(text, {}, 0, "stop", WORDS) for text in texts],
            )


def task_texts(number: int) -> tuple[str, list[str]]:
    """Return a task's prompt and its completions in position order."""
    texts = [_text(f"Answer {position} to {number}") for position in range(COMPLETIONS)]
    return _text(f"Question {number}", 0.5), texts


def position_of(completion: str) -> int:
    """Return the task position that a completion of `add_tasks` begins with."""
    found = re.match(r"Answer (\d+) ", completion)
    if found is None:
        raise ValueError(f"{completion[:40]!r} is no completion of this benchmark.")
    return int(found.group(1))


def settings_of(home: Path, database_url: str | None, *, minutes: float = 30.0) -> Settings:
    """Return the settings of a benchmark's home; without a URL its database is SQLite."""
    home.mkdir(parents=True, exist_ok=True)
    return load_settings(home=home, database_url=database_url, assignment_minutes=minutes)


def _add_annotators(session: Session, count: int) -> list[str]:
    # One hash for all of them: a password takes tens of milliseconds to hash, on purpose.
    first = create_account(session, name="ann-1", role=Role.ANNOTATOR, password=PASSWORD)
    rest = [
        create_account(session, name=f"ann-{number}", role=Role.ANNOTATOR)
        for number in range(2, count + 1)
    ]
    for account in rest:
        account.password_hash = first.password_hash
    session.add_all(rest)
    return [account.name for account in [first, *rest]]


def _text(beginning: str, share: float = 1.0) -> str:
    words = ("the", "model", "explains", "one", "more", "part", "and", "gives", "its", "reason")
    many = round(WORDS * share)
    return f"{beginning} " + " ".join(words[place % len(words)] for place in range(many)) + "."
