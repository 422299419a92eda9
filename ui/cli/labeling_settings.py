"""The settings of labeling from the command line."""

import json
from typing import Any

import click

from labeling.judging.criteria import READY_SETS
from labeling.labeling_settings import change_labeling, labeling_settings
from storage.engine import reading, writing
from storage.settings import Settings
from ui.cli.frame import project_of
from ui.database import open_database


def show(settings: Settings, *, as_json: bool) -> None:
    """Print every setting of labeling."""
    with reading(open_database(settings)) as session:
        found = labeling_settings(project_of(session, settings)).model_dump(mode="json")
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for section, values in found.items():
        for field, value in values.items():
            click.echo(f"{section}.{field} = {json.dumps(value, ensure_ascii=False)}")


def change(settings: Settings, values: dict[str, dict[str, Any]]) -> None:
    """Change settings of one or more sections; where one does not fit, none is changed."""
    with writing(open_database(settings)) as session:
        project = project_of(session, settings)
        for section, fields in values.items():
            named = fields.get("criteria") if section == "page" else None
            if isinstance(named, str) and named in READY_SETS:
                fields["criteria"] = [each.model_dump() for each in READY_SETS[named]]
            change_labeling(session, project=project, by=None, section=section, values=fields)
        found = labeling_settings(project).model_dump(mode="json")
    for section, fields in values.items():
        for field in fields:
            click.echo(f"{section}.{field} = {json.dumps(found[section][field])}")
