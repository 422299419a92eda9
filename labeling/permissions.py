"""Which role may do what; checked by the functions that do the work."""

from enum import StrEnum

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
    MANAGE_ACCOUNTS = "manage_accounts"


_WORDS = {
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
    Action.MANAGE_ACCOUNTS: "manage accounts",
}

_LEADING = frozenset(set(Action) - {Action.MANAGE_ACCOUNTS})

PERMITTED: dict[Role, frozenset[Action]] = {
    Role.ANNOTATOR: frozenset({Action.JUDGE}),
    Role.LEAD: _LEADING,
    Role.ENGINEER: _LEADING - {Action.WITHDRAW},
    Role.ADMIN: frozenset(Action),
}


def allows(account: Account, action: Action) -> bool:
    """Say whether the account is active, not imported, and its role permits `action`."""
    return account.active and not account.imported_from and action in PERMITTED[account.role]


def require(account: Account, action: Action) -> None:
    """Raise `NotAllowed` unless the account is active, not imported, and its role permits it."""
    if account.imported_from:
        raise NotAllowed(
            f"The account {account.name} only came with an import; ask an admin for one of your "
            "own."
        )
    if not account.active:
        raise NotAllowed(
            f"The account {account.name} is switched off; ask an admin to switch it on again."
        )
    if action not in PERMITTED[account.role]:
        raise NotAllowed(
            f"The role {account.role} may not {_WORDS[action]}; ask an admin for another role."
        )
