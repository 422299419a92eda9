"""Which environment variable may hold a webhook's key: one that is meant for it, and no other's.

Whoever may add a webhook could otherwise learn which variables the server has, or get messages
signed with the key of another receiver. A webhook that is there already keeps what it names.
"""

import re

from sqlmodel import Session, col, select

from storage.errors import BadInput, Conflict
from storage.tables import Policy, PolicyKind, Project, Webhook

_LONGEST = 100
#: no setting (RANKLOOP_…) begins so, and hardly any other program's variable
_MEANT = re.compile(r"(?:WEB)?HOOK_[A-Za-z0-9_]+")


def claim_variable(session: Session, *, variable: str, url: str) -> None:
    """See that a webhook to `url` may have its key in the environment variable.

    Whoever else claims one waits until the end of this transaction. Raises `BadInput` where the
    name is not of those that are for webhooks, `Conflict` where the variable holds the key of
    another address or of a policy's server, in whatever project.
    """
    if not _MEANT.fullmatch(variable) or len(variable) > _LONGEST:
        raise BadInput(
            f"{variable[:_LONGEST]!r} cannot be the variable with the secret (secret_env): name an "
            "environment variable that begins with HOOK_ or WEBHOOK_, such as HOOK_SECRET, never "
            f"the secret itself; it has letters, digits and _, {_LONGEST} at most."
        )
    _wait_for_others(session)
    others = select(Webhook.id).where(Webhook.secret_env == variable, Webhook.url != url)
    if session.exec(others.limit(1)).first() is not None or _is_of_server(session, variable):
        # Not whose it is: that may be in a project that is not theirs to see.
        raise Conflict(
            f"The variable {variable} (secret_env) holds the key of another address; each has a "
            "key of its own, so name another variable, such as "
            f"{variable[: _LONGEST - 2]}_2."
        )


def _wait_for_others(session: Session) -> None:
    # Two that see nothing of each other would both have it. The oldest project's row is one that
    # all of them know; no judgment waits for this lock.
    first = select(Project.id).order_by(col(Project.id)).limit(1)
    session.exec(first.with_for_update(key_share=True)).one()


def _is_of_server(session: Session, variable: str) -> bool:
    servers = session.exec(select(Policy.endpoint).where(Policy.kind == PolicyKind.ENDPOINT))
    return any(one.get("key_env") == variable for one in servers)
