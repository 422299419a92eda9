"""What webhooks may be told, of which events, and how a message reads.

A message is as Standard Webhooks has it (standardwebhooks.com, "Payload structure"): JSON with
`type`, `timestamp` and `data`.
"""

import json
from typing import Any
from uuid import UUID, uuid5

from storage.errors import BadInput
from storage.tables import Event, Project

#: What a webhook may ask for, and what it is told then.
KINDS = {
    "judgment.stored": "an annotator's ranking is stored",
    "task.completed": "a task has every judgment that it wants, or a lead has decided it",
    "round.started": "a round of training begins",
    "round.published": "a round's policy is live",
    "round.rejected": "a round ended without publishing: the gate refused its policy",
    "round.failed": "a round gave up",
    "policy.rolled_back": "a lead made an older policy live again",
    "snapshot.created": "judgments are frozen in a new snapshot",
    "export.written": "an export is written",
    "judgments.withdrawn": "a lead took judgments out",
    "withdrawal.reverted": "a lead put judgments back",
    "alarm.raised": "something wants a lead",
    "alarm.cleared": "it no longer does",
}
#: The message of `rankloop webhook test`, whatever a webhook asks for.
TEST = "webhook.tested"

_ENDS = {"done": "round.published", "rejected": "round.rejected", "failed": "round.failed"}
#: Kinds of Events that tell of something else, or of more than their name says.
SOURCES = {
    "judgment.stored": ("judgment.stored",),
    "task.completed": ("judgment.stored", "review.decided"),
    "round.started": ("round.opened",),
    **dict.fromkeys(_ENDS.values(), ("round.advanced",)),
}
# A message is read outside: what only the page's own protocol needs stays here.
_INNER = frozenset({"nonce", "assignment_id"})
# Why a round began and what an alarm says may name somebody; receivers are told as leads are.
_WITH_PERSONAL = frozenset({"alarm.raised", "alarm.cleared", "round.started"})
_NAMESPACE = UUID("6f6f1a52-7a3c-5f0e-9a4e-0c7a1a1f5d11")


def sources(kinds: list[str]) -> set[str]:
    """Return the kinds of the Events that may tell of one of `kinds`."""
    return {source for kind in kinds for source in SOURCES.get(kind, (kind,))}


def told_by(kind: str, detail: dict[str, Any]) -> tuple[str, ...]:
    """Return the kinds of messages that an Event of `kind` is; none where nobody is told."""
    if kind == "judgment.stored":
        return (kind, "task.completed") if detail.get("task_completed") else (kind,)
    if kind == "review.decided":
        return ("task.completed",)
    if kind == "round.opened":
        return ("round.started",)
    if kind == "round.advanced":
        ended = _ENDS.get(str(detail.get("state")))
        return (ended,) if ended else ()
    return (kind,) if kind in KINDS or kind == TEST else ()


def known_kinds(kinds: list[str]) -> list[str]:
    """Return the kinds, each once; raise `BadInput` naming one that there is not."""
    for kind in kinds:
        if kind not in KINDS:
            raise BadInput(f"There is no event {kind}; there are {', '.join(KINDS)}.")
    if not kinds:
        raise BadInput(f"Say which events the webhook is told: {', '.join(KINDS)}.")
    return list(dict.fromkeys(kinds))


def message_id(project: Project, event_id: int, kind: str) -> str:
    """Return the message's id: the same at each attempt and for each webhook that is told it."""
    # Two databases count their events alike; the time of the project's making keeps them apart.
    name = f"{project.id}:{project.created_at.isoformat()}:{event_id}:{kind}"
    return f"msg_{uuid5(_NAMESPACE, name).hex}"


def body_of(project: Project, event: Event, kind: str) -> bytes:
    """Return the message as ASCII JSON: `data` has the project, the event and what it tells."""
    whole = event.detail | ((event.personal or {}) if kind in _WITH_PERSONAL else {})
    told = {name: value for name, value in whole.items() if name not in _INNER}
    message = {
        "type": kind,
        "timestamp": event.created_at.isoformat(),
        "data": {
            "project": project.name,
            "event_id": event.id,
            "account_id": event.account_id,
            **told,
        },
    }
    return json.dumps(message, separators=(",", ":")).encode()
