"""Annotators leave the project under pseudonyms alone, in every format and in its README."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text
from sqlmodel import select

from labeling.datasets.export_preferences import export_preferences
from labeling.datasets.pseudonyms import Pseudonyms
from labeling.formats.registry import FORMATS
from labeling.judging.demonstrations import add_demonstration
from storage.engine import build_engine, reading, writing
from storage.migrate import alembic_config, migrating, upgrade
from storage.tables import Account, Project, Prompt, Role
from tests.labeling.stage import Stage, set_stage

NAMES = ("Ada Lovelace", "Bob <bob@example.org>")
#: so large that no other number of an export has its digits
FIRST_ID = 77_130_501


@pytest.fixture(scope="module")
def exported(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> tuple[Stage, dict[str, str]]:
    """Return a stage, and all that each format wrote of it."""
    folder = tmp_path_factory.mktemp("exports")
    file = folder / "rankloop.db"
    file.write_bytes(sqlite_template.read_bytes())
    engine = build_engine(f"sqlite:///{file}")
    with writing(engine) as session:
        project = Project(name="default", overlap=2, completions_per_task=2)
        session.add(project)
        for at, name in enumerate(NAMES):
            session.add(Account(id=FIRST_ID + at, name=name, role=Role.ANNOTATOR))
    stage = set_stage(engine, project, overlap=2)
    _judge(stage)
    found = {}
    for name in FORMATS:
        out = folder / name
        export_preferences(
            engine, project=stage.project, account=None, home=folder, out=out, format=name
        )
        found[name] = "\n".join(one.read_text() for one in sorted(out.rglob("*")) if one.is_file())
    engine.dispose()
    return stage, found


def _judge(stage: Stage) -> None:
    with reading(stage.engine) as session:
        stage.accounts = {one.name: one for one in session.exec(select(Account))}
    stage.change("page", rewrites=True)
    for task in ("one", "two", "three"):
        stage.add_task(task, k=2)
    for name in NAMES:
        for _ in range(3):
            stage.judge(name, [1, 2])
    with writing(stage.engine) as session:
        prompt = session.exec(select(Prompt)).first()
        assert prompt is not None
        add_demonstration(
            session, project=session.get_one(Project, stage.project_id),
            account=session.get_one(Account, FIRST_ID), prompt_id=prompt.id or 0, text="My answer.",
        )  # fmt: skip


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_no_format_tells_a_name_or_a_number(
    exported: tuple[Stage, dict[str, str]], format: str
) -> None:
    stage, found = exported
    assert "one" in found[format]
    for name in (*NAMES, "Lovelace", "bob@example.org", str(FIRST_ID), str(FIRST_ID + 1)):
        assert name not in found[format]
    assert stage.project.pseudonym_key not in found[format]


def test_formats_that_name_annotators_name_them_alike(
    exported: tuple[Stage, dict[str, str]],
) -> None:
    stage, found = exported
    names = [Pseudonyms(stage.project).of(FIRST_ID + at) for at in range(2)]
    naming = {format for format, whole in found.items() if "annotator-" in whole}
    assert len(naming) >= 3
    for format in naming:
        assert any(name in found[format] for name in names)


def test_a_pseudonym_cannot_be_found_by_trying_numbers(sqlite_project: Project) -> None:
    project, other = sqlite_project, Project(id=sqlite_project.id, name="other")
    other.created_at = project.created_at
    mine = Pseudonyms(project).of(1)
    assert mine == Pseudonyms(project).of(1)
    assert mine != Pseudonyms(other).of(1), "all but the key is the same"
    known = (f"1:{project.created_at.isoformat()}", str(project.id), project.name, "")
    tried = {sha256(f"{key}:1".encode()).hexdigest()[:12] for key in known}
    assert mine.removeprefix("annotator-") not in tried
    assert project.pseudonym_key not in repr(project)


def test_projects_of_earlier_releases_keep_their_pseudonyms(empty_url: str) -> None:
    made = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    with migrating(empty_url) as connection:
        command.upgrade(alembic_config(connection), "0003")
        connection.execute(
            text(
                "INSERT INTO project (id, name, completions_per_task, overlap, system_prompt, "
                "labeling, training, created_at) VALUES (7, 'p', 4, 1, '', '{}', '{}', :at)"
            ),
            {"at": made.isoformat(sep=" ") if "sqlite" in empty_url else made},
        )
    upgrade(empty_url, backup=False)
    engine = build_engine(empty_url)
    with reading(engine) as session:
        project = session.get_one(Project, 7)
    before = sha256(f"7:{made.isoformat()}:5".encode()).hexdigest()[:12]
    assert Pseudonyms(project).of(5) == f"annotator-{before}"
    engine.dispose()
