"""Answers of the API that change something; permissions are asked by the functions they call."""

from typing import Any

from labeling.datasets.code_version import code_version
from labeling.datasets.snapshot_query import query_of
from labeling.datasets.snapshots import take_snapshot
from labeling.imports.completions import import_completions, stage_completions
from labeling.imports.preferences import import_staged, staged_file
from labeling.imports.prompts import import_prompts, staged_prompts
from labeling.imports.staging import Staging
from labeling.permissions import Action, require
from labeling.rounds import request_round
from labeling.webhooks import subscriptions
from storage.engine import writing
from storage.errors import BadInput
from storage.tables import Import
from ui import process
from ui.api.asked import LARGEST_ID, Asked, whole_number


def start_round(asked: Asked) -> Any:
    """Ask for a round."""
    with writing(process.engine()) as session:
        made = request_round(session, project_id=asked.project_id, account=asked.account)
        return {"number": made.number, "state": str(made.state)}


def make_snapshot(asked: Asked) -> Any:
    """Freeze what the query asks for."""
    asked.refuse_other_fields({"name", "query"})
    query = asked.field("query", dict, {})
    made = take_snapshot(
        process.engine(),
        project=asked.project,
        folder=process.settings().home / "snapshots",
        code_version=code_version(),
        account=asked.account,
        query=query_of(query) if query else None,
        name=asked.field("name", str, ""),
    )
    return {
        "id": made.id,
        "name": made.name,
        "rows_sha256": made.rows_sha256,
        "judgments": made.manifest.get("judgments", 0),
    }


def add_prompts(asked: Asked) -> Any:
    """Import prompts, all or none."""
    # Before the file is read: reading it is work.
    require(asked.account, Action.MANAGE_PROMPTS, project_id=asked.project_id)
    tags = [each.strip() for each in asked.query.get("tag", "").split(",") if each.strip()]
    language = asked.query.get("language", "")
    with (
        staged_prompts(asked.file_path(), tags=tags, language=language) as prompts,
        writing(process.engine()) as session,
    ):
        return import_prompts(
            session,
            project=asked.project,
            prompts=prompts,
            heldout_share=process.settings().heldout_share,
            account=asked.account,
        )


def add_completions(asked: Asked) -> Any:
    """Import completions as tasks to rank, all or none."""
    require(asked.account, Action.IMPORT, project_id=asked.project_id)
    with Staging() as staging:
        staged = stage_completions(staging, asked.file_path())
        with writing(process.engine()) as session:
            return _told(
                import_completions(
                    session,
                    project=asked.project,
                    staged=staged,
                    by=asked.account,
                    heldout_share=process.settings().heldout_share,
                    source=_source(asked),
                    model=asked.query.get("model", ""),
                )
            )


def add_preferences(asked: Asked) -> Any:
    """Import judgments, labels or demonstrations, all or none."""
    # Before the file is read: reading it is work.
    require(asked.account, Action.IMPORT, project_id=asked.project_id)
    shape = asked.query.get("format", "auto")
    with (
        staged_file(asked.file_path(), format=shape) as staged,
        writing(process.engine()) as session,
    ):
        return _told(
            import_staged(
                session,
                project=asked.project,
                staged=staged,
                by=asked.account,
                heldout_share=process.settings().heldout_share,
                source=_source(asked),
            )
        )


def _source(asked: Asked) -> str:
    source = asked.query.get("source", "")
    if not source:
        raise BadInput("The parameter source is missing; say where the data is from.")
    return source


def _told(done: Import) -> dict[str, Any]:
    return {"id": done.id, "format": done.format, **done.counts}


def add_webhook(asked: Asked) -> Any:
    """Tell an address of the project's events."""
    asked.refuse_other_fields({"url", "kinds", "secret_env"})
    with writing(process.engine()) as session:
        made = subscriptions.add_webhook(
            session,
            project=asked.project,
            by=asked.account,
            url=asked.field("url", str),
            kinds=[str(each) for each in asked.field("kinds", list)],
            secret_env=asked.field("secret_env", str),
            private=process.settings().webhook_private_addresses,
        )
        return {"id": made.id, "url": made.url, "kinds": made.kinds}


def remove_webhook(asked: Asked) -> Any:
    """Tell a webhook nothing more."""
    number = whole_number(asked.path["id"])
    if number is None or number > LARGEST_ID:
        raise BadInput(f"{asked.path['id']} is no number of a webhook; list them.")
    with writing(process.engine()) as session:
        subscriptions.remove_webhook(
            session, project=asked.project, by=asked.account, webhook_id=number
        )
    return {"removed": number}
