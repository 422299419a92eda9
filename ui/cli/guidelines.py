"""Guidelines from the command line."""

import json
from pathlib import Path

import click

from labeling.keys import key_of
from labeling.quality_control.guidelines import guideline_versions, publish_guidelines
from storage.engine import reading, writing
from storage.errors import BadInput, NotFound
from storage.settings import Settings
from ui.cli.frame import project_of
from ui.database import open_database


def show(settings: Settings, *, version: int | None, as_json: bool) -> None:
    """Print one version of the guidelines, the newest by default."""
    with reading(open_database(settings)) as session:
        project = project_of(session, settings)
        found = guideline_versions(session, project_id=key_of(project))
    wanted = [one for one in found if version in (None, one.version)]
    if not wanted:
        missing = f"no version {version} of the guidelines" if version else "no guidelines yet"
        raise NotFound(f"There are {missing}; publish one with `rankloop guidelines publish FILE`.")
    one = wanted[0]
    if as_json:
        values = {"version": one.version, "note": one.note, "text": one.text}
        click.echo(json.dumps(values | {"created_at": one.created_at.isoformat()}, indent=2))
    else:
        click.echo(one.text)


def publish(settings: Settings, file: Path, *, note: str) -> None:
    """Put the text of a file in force."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file}: the text cannot be read as UTF-8 ({error}).") from error
    with writing(open_database(settings)) as session:
        published = publish_guidelines(
            session, project=project_of(session, settings), by=None, text=text, note=note
        )
        version = published.version
    click.echo(f"Version {version} of the guidelines is in force.")
