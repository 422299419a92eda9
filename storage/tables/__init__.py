"""Every table, one file a subject; importing this package registers them all."""

from storage.tables.base import Row
from storage.tables.completions import (
    Completion,
    Policy,
    PolicyKind,
    PolicyStatus,
    Prompt,
    Split,
)
from storage.tables.events import Event
from storage.tables.guidelines import GuidelineReading, GuidelineVersion, Qualification
from storage.tables.imports import Import
from storage.tables.people import (
    AccessToken,
    Account,
    AccountKind,
    Invitation,
    PoolMember,
    Role,
    SignIn,
    SignInWay,
)
from storage.tables.projects import Project
from storage.tables.reviews import Review, ReviewDecision
from storage.tables.rounds import Round, RoundPoint, RoundState, Snapshot, WorkerLease
from storage.tables.tasks import (
    Assignment,
    AssignmentState,
    Demonstration,
    Judgment,
    KnownAnswer,
    Task,
    TaskCompletion,
    TaskKind,
    TaskStatus,
)
from storage.tables.webhooks import Webhook, WebhookDelivery
from storage.tables.withdrawals import Withdrawal

__all__ = [
    "AccessToken",
    "Account",
    "AccountKind",
    "Assignment",
    "AssignmentState",
    "Completion",
    "Demonstration",
    "Event",
    "GuidelineReading",
    "GuidelineVersion",
    "Import",
    "Invitation",
    "Judgment",
    "KnownAnswer",
    "Policy",
    "PolicyKind",
    "PolicyStatus",
    "PoolMember",
    "Project",
    "Prompt",
    "Qualification",
    "Review",
    "ReviewDecision",
    "Role",
    "Round",
    "RoundPoint",
    "RoundState",
    "Row",
    "SignIn",
    "SignInWay",
    "Snapshot",
    "Split",
    "Task",
    "TaskCompletion",
    "TaskKind",
    "TaskStatus",
    "Webhook",
    "WebhookDelivery",
    "Withdrawal",
    "WorkerLease",
]
