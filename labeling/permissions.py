"""Which role may do what, in which project; checked by the functions that do the work."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum

from sqlalchemy import ColumnElement, String, cast, func
from sqlmodel import col

from storage.errors import NotAllowed
from storage.tables import Account, Role


class Action(StrEnum):
    """Something that an account may or may not do."""

    JUDGE = "judge"
    SEE_QUALITY = "see_quality"
    REQUEST_ROUND = "request_round"
    ROLL_BACK = "roll_back"
    MANAGE_PROMPTS = "manage_prompts"
    CHANGE_LABELING = "change_labeling"
    REVIEW = "review"
    IMPORT = "import"
    EXPORT = "export"
    WITHDRAW = "withdraw"
    MANAGE_WEBHOOKS = "manage_webhooks"
    INVITE = "invite"
    MANAGE_ACCOUNTS = "manage_accounts"
    SEE_AUDIT = "see_audit"


#: what each action is, as a person would say it
WORDS = {
    Action.JUDGE: "rank completions",
    Action.SEE_QUALITY: "see the quality figures",
    Action.REQUEST_ROUND: "start a training round",
    Action.ROLL_BACK: "roll back to an older policy",
    Action.MANAGE_PROMPTS: "change the prompts",
    Action.CHANGE_LABELING: "change how labeling works",
    Action.REVIEW: "review judgments",
    Action.IMPORT: "import data",
    Action.EXPORT: "export data",
    Action.WITHDRAW: "withdraw judgments",
    Action.MANAGE_WEBHOOKS: "manage webhooks",
    Action.INVITE: "invite annotators",
    Action.MANAGE_ACCOUNTS: "manage accounts",
    Action.SEE_AUDIT: "see the audit log",
}

#: they belong to no project: the account's own role decides, whatever it is in a project
IN_NO_PROJECT = frozenset({Action.MANAGE_ACCOUNTS, Action.SEE_AUDIT})

_LEADING = frozenset(Action) - IN_NO_PROJECT

PERMITTED: dict[Role, frozenset[Action]] = {
    Role.ANNOTATOR: frozenset({Action.JUDGE}),
    Role.LEAD: _LEADING,
    Role.ENGINEER: _LEADING - {Action.WITHDRAW, Action.INVITE},
    Role.ADMIN: frozenset(Action),
}

#: the key in `Account.project_roles` of every project that is not named there
ELSEWHERE = "*"

_ROLES = {str(role): role for role in Role}
_narrowed: ContextVar[frozenset[str] | None] = ContextVar("narrowed", default=None)


def role_table() -> list[str]:
    """Return which role may do what as lines of a Markdown table, a row an action."""
    rows = [["may", *(str(role) for role in PERMITTED)]]
    for action in Action:
        ticks = ["yes" if action in permitted else "" for permitted in PERMITTED.values()]
        note = " (server)" if action in IN_NO_PROJECT else ""
        rows.append([WORDS[action] + note, *ticks])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return [f"| {' | '.join(row)} |" for row in padded]


def role_of(account: Account, project_id: int | None) -> Role | None:
    """Return the account's role in a project (None: in none), or None without business there."""
    if project_id is None:
        return account.role
    roles = account.project_roles
    named = roles.get(str(project_id), roles.get(ELSEWHERE))
    return account.role if named is None else _ROLES.get(named)


def role_in(project_id: int) -> ColumnElement[str]:
    """Return SQL for an account's role in a project; "" without business there."""
    roles = col(Account.project_roles)
    named, elsewhere = roles[str(project_id)].as_string(), roles[ELSEWHERE].as_string()
    return func.coalesce(named, elsewhere, cast(col(Account.role), String))


def roles_that_may(action: Action) -> list[str]:
    """Return the roles that may do it, as `role_in` tells them."""
    return [role.value for role, permitted in PERMITTED.items() if action in permitted]


def allows(account: Account, action: Action, *, project_id: int | None) -> bool:
    """Say whether `require` would let the account do it."""
    return _refusal(account, action, project_id) is None


def require(account: Account, action: Action, *, project_id: int | None) -> None:
    """Raise `NotAllowed` unless the account may do it in the project.

    It must be active and neither imported nor erased, its role in the project must permit the
    action, and so must the access token that is at work (`narrowed_to`). `project_id` is None, and
    the account's own role decides, for what belongs to no project (`IN_NO_PROJECT`). Raises
    `ValueError` where an action of a project is asked without one.
    """
    refused = _refusal(account, action, project_id)
    if refused is not None:
        raise NotAllowed(refused)


@contextmanager
def narrowed_to(actions: Collection[str]) -> Iterator[None]:
    """Allow only these actions inside the block, whoever acts; none named: as without it.

    So an access token may do less than its account.
    """
    token = _narrowed.set(frozenset(actions) or _narrowed.get())
    try:
        yield
    finally:
        _narrowed.reset(token)


def _refusal(account: Account, action: Action, project_id: int | None) -> str | None:
    """Return why the account may not do it, in one sentence; None where it may."""
    belongs = None if action in IN_NO_PROJECT else project_id
    if belongs is None and action not in IN_NO_PROJECT:
        raise ValueError(f"{action} belongs to a project; say which.")
    if account.imported_from:
        return (
            f"The account {account.name} only came with an import; ask an admin for one of your "
            "own."
        )
    if account.erased_at is not None:
        return "This account was erased; ask an admin for a new one."
    if not account.active:
        return f"The account {account.name} is switched off; ask an admin to switch it on again."
    role = role_of(account, belongs)
    if role is None:
        return f"The account {account.name} has no business in this project; ask an admin."
    if action not in PERMITTED[role]:
        return f"The role {role} may not {WORDS[action]}; ask an admin for another role."
    narrowed = _narrowed.get()
    if narrowed is not None and action not in narrowed:
        return f"This access token may not {WORDS[action]}; make one that may."
    return None
