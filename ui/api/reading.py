"""Answers of the API that change nothing."""

from typing import Any

from labeling.datasets.snapshot_list import find_snapshot, list_snapshots
from labeling.endpoint_policies import outside_policy_summaries
from labeling.event_pages import events_since
from labeling.imports.preferences import list_imports
from labeling.permissions import Action, allows, require, role_of
from labeling.rollback import policy_summaries
from labeling.rounds import round_summaries
from labeling.statistics.annotator_reliability import annotator_reliability
from labeling.statistics.quality import quality
from labeling.webhooks import subscriptions
from labeling.work_queue.queue import queue as queue_rows
from storage.engine import reading
from ui import process
from ui.api.asked import Asked

MOST_EVENTS = 5_000


def me(asked: Asked) -> Any:
    """Say whose token this is, in which project, and what it may do there."""
    account, project_id = asked.account, asked.project_id
    role = role_of(account, project_id)
    may = [str(each) for each in Action if allows(account, each, project_id=project_id)]
    return {
        "account": account.name,
        "project": asked.project.name,
        "role": str(role) if role else None,
        "actions": may,
        "token": {"name": asked.token.name, "expires_at": asked.token.expires_at},
    }


def queue(asked: Asked) -> Any:
    """Count the tasks by overlap and state."""
    require(asked.account, Action.SEE_QUALITY, project_id=asked.project_id)
    with reading(process.engine()) as session:
        return queue_rows(session, project_id=asked.project_id)


def stats(asked: Asked) -> Any:
    """Measure agreement."""
    with reading(process.engine()) as session:
        return quality(session, project_id=asked.project_id, account=asked.account)


def reliability(asked: Asked) -> Any:
    """Measure how far each annotator can be relied on."""
    with reading(process.engine()) as session:
        return annotator_reliability(
            session,
            project_id=asked.project_id,
            account=asked.account,
            home=process.settings().home,
        )


def rounds(asked: Asked) -> Any:
    """List the rounds."""
    require(asked.account, Action.SEE_QUALITY, project_id=asked.project_id)
    with reading(process.engine()) as session:
        return round_summaries(session, project_id=asked.project_id)


def policies(asked: Asked) -> Any:
    """List the policies as `rankloop policies --json` does."""
    require(asked.account, Action.SEE_QUALITY, project_id=asked.project_id)
    with reading(process.engine()) as session:
        own = policy_summaries(session, project_id=asked.project_id)
        outside = outside_policy_summaries(session, project_id=asked.project_id)
    return [*({"kind": "local", **one} for one in own), *outside]


def events(asked: Asked) -> Any:
    """List events after an id."""
    kinds = [each for each in asked.query.get("kind", "").split(",") if each]
    with reading(process.engine()) as session:
        return events_since(
            session,
            project_id=asked.project_id,
            account=asked.account,
            since=asked.number("since", 0),
            most=asked.number("most", 500, least=1, most=MOST_EVENTS),
            kinds=kinds,
        )


def snapshots(asked: Asked) -> Any:
    """List the snapshots."""
    with reading(process.engine()) as session:
        return list_snapshots(session, project_id=asked.project_id, account=asked.account)


def snapshot(asked: Asked) -> Any:
    """Show one snapshot."""
    require(asked.account, Action.EXPORT, project_id=asked.project_id)
    with reading(process.engine()) as session:
        found = find_snapshot(session, project_id=asked.project_id, which=asked.path["which"])
    return {
        "id": found.id,
        "name": found.name,
        "created_at": found.created_at,
        "rows_sha256": found.rows_sha256,
        "query": found.query,
        "manifest": found.manifest,
    }


def imports(asked: Asked) -> Any:
    """List the imports."""
    require(asked.account, Action.IMPORT, project_id=asked.project_id)
    with reading(process.engine()) as session:
        return list_imports(session, project_id=asked.project_id)


def webhooks(asked: Asked) -> Any:
    """List the webhooks."""
    with reading(process.engine()) as session:
        return subscriptions.webhooks(session, project_id=asked.project_id, account=asked.account)
