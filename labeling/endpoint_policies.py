"""Policies behind OpenAI-compatible servers: where they are asked, what it has cost.

The key of a server is in an environment variable. Only the variable's name is stored.
"""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)
from sqlmodel import Session, col, select

from labeling.events import record
from labeling.permissions import Action, require
from labeling.policies import add_outside_policy
from storage.errors import BadInput, Conflict, NotFound
from storage.tables import Account, Policy, PolicyKind

TOKENS_OF_A_PRICE = 1_000_000
_USED = "used"


class Endpoint(BaseModel):
    """How a server is asked for completions, and what they cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: base of the API, as OpenAI's clients take it: https://host/v1
    url: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    #: the model's name on the server
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    #: environment variable that holds the key ("": none is sent)
    key_env: Annotated[str, StringConstraints(pattern=r"^([A-Z_][A-Z0-9_]*)?$")] = ""
    #: price of a million tokens of prompts, and of completions, in a currency of your own
    price_in: Annotated[float, Field(ge=0)] = 0.0
    price_out: Annotated[float, Field(ge=0)] = 0.0
    #: money after which it is asked no more (None: no bound)
    budget: Annotated[float, Field(ge=0)] | None = None
    #: requests that a process sends in a minute (None: no bound)
    requests_per_minute: Annotated[float, Field(gt=0)] | None = None
    #: requests under way at once
    requests_at_once: Annotated[int, Field(ge=1, le=256)] = 8
    #: seconds after which a request is given up
    timeout: Annotated[float, Field(gt=0)] = 60.0
    #: attempts of a request where the server is busy, fails or cannot be reached
    attempts: Annotated[int, Field(ge=1, le=20)] = 5
    #: seconds before the second attempt; twice as long before each that follows
    first_wait: Annotated[float, Field(ge=0)] = 1.0
    #: fields of the request's body to add, or, where null, to leave out
    body: dict[str, Any] = {}
    #: whether the loop may ask it
    active: bool = True

    @field_validator("url")
    @classmethod
    def _plain_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it must be an address such as https://host/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("it must hold no password, no query and no key: name a --key-env")
        return value.rstrip("/") if parts.path.strip("/") else f"{value.rstrip('/')}/v1"


class Usage(BaseModel):
    """What a server was asked for; `unmetered` answers came without a count of their tokens."""

    requests: int = 0
    failed: int = 0
    unmetered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def plus(self, other: "Usage") -> "Usage":
        """Return both together."""
        mine, more = self.model_dump(), other.model_dump()
        return Usage(**{name: mine[name] + more[name] for name in mine})


def checked_endpoint(values: dict[str, Any]) -> Endpoint:
    """Return an endpoint; raise `BadInput` naming the field that does not fit, never its value."""
    try:
        return Endpoint.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = str(first["loc"][0]).replace("_", "-")
        message = first["msg"].removeprefix("Value error, ").removesuffix(".")
        field = "endpoint" if field == "url" else field
        if field == "key-env":
            message = "give the name of an environment variable (capitals), never the key itself"
        raise BadInput(f"--{field} does not fit: {message}.") from None


def add_endpoint_policy(
    session: Session, *, project_id: int, name: str, endpoint: Endpoint, by: Account
) -> Policy:
    """Store a policy behind a server, under a name of its own.

    Raises `Conflict` where the name is taken, `BadInput`, `NotAllowed`. The session must be
    writing.
    """
    require(by, Action.CHANGE_LABELING, project_id=project_id)
    if not name or len(name) > 200 or not name.isprintable():
        raise BadInput("The policy's name must have 1 to 200 printable characters.")
    if _found(session, project_id, name) is not None:
        raise Conflict(f"There is a policy named {name} already; choose another with --name.")
    policy = add_outside_policy(session, project_id=project_id, name=name, kind=PolicyKind.ENDPOINT)
    policy.endpoint = endpoint.model_dump(mode="json")
    session.add(policy)
    session.flush()
    _record(session, policy, by, "policy.endpoint_added", url=endpoint.url, model=endpoint.model)
    return policy


def switch_endpoint(
    session: Session,
    *,
    project_id: int,
    name: str,
    active: bool,
    by: Account | None,
    reason: str = "",
) -> Policy:
    """Let the loop ask a server, or not; raise `NotFound`, `NotAllowed`.

    `by` is None where the worker decides. The session must be writing.
    """
    if by is not None:
        require(by, Action.CHANGE_LABELING, project_id=project_id)
    policy = endpoint_policy(session, project_id=project_id, name=name)
    # What its server was asked for is in the same value, and other processes add to it.
    session.refresh(policy, ["endpoint"], with_for_update=True)
    policy.endpoint = {**policy.endpoint, "active": active}
    session.add(policy)
    kind = "policy.endpoint_switched_on" if active else "policy.endpoint_switched_off"
    _record(session, policy, by, kind, **({"reason": reason} if reason else {}))
    return policy


def endpoint_policy(session: Session, *, project_id: int, name: str) -> Policy:
    """Return the policy behind a server by its name; raise `NotFound` naming those there are."""
    policy = _found(session, project_id, name)
    if policy is None:
        names = [one.name for one in endpoint_policies(session, project_id=project_id)]
        there = f"there are {', '.join(names)}" if names else "add one with `rankloop policies add`"
        raise NotFound(f"There is no policy behind a server named {name}; {there}.")
    return policy


def endpoint_policies(session: Session, *, project_id: int) -> list[Policy]:
    """Return the project's policies behind servers, in the order in which they were added."""
    statement = (
        select(Policy)
        .where(Policy.project_id == project_id, Policy.kind == PolicyKind.ENDPOINT)
        .order_by(col(Policy.id))
    )
    return list(session.exec(statement))


def endpoint_of(policy: Policy) -> Endpoint:
    """Return how the policy's server is asked."""
    values = {name: value for name, value in policy.endpoint.items() if name != _USED}
    return checked_endpoint(values)


def usage_of(policy: Policy) -> Usage:
    """Return what the policy's server was asked for, in all."""
    return Usage(**policy.endpoint.get(_USED, {}))


def note_usage(session: Session, *, policy_id: int, usage: Usage) -> Usage:
    """Add to what a policy's server was asked for; return all of it. The session must be writing.

    The row is locked: several processes may ask one server.
    """
    policy = session.exec(
        select(Policy)
        .where(Policy.id == policy_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    total = usage_of(policy).plus(usage)
    policy.endpoint = {**policy.endpoint, _USED: total.model_dump()}
    session.add(policy)
    session.flush()
    return total


def priced(endpoint: Endpoint, prompt_tokens: int, completion_tokens: int) -> float:
    """Return what tokens cost at the endpoint's prices."""
    spent = prompt_tokens * endpoint.price_in + completion_tokens * endpoint.price_out
    return spent / TOKENS_OF_A_PRICE


def outside_policy_summaries(session: Session, *, project_id: int) -> list[dict[str, Any]]:
    """Return the policies that no round makes (servers, imports) as values that JSON can hold."""
    statement = (
        select(Policy)
        .where(
            Policy.project_id == project_id,
            col(Policy.kind).in_([PolicyKind.ENDPOINT, PolicyKind.IMPORT]),
            Policy.version < 0,
        )
        .order_by(col(Policy.version).desc())
    )
    return [_summary(policy) for policy in session.exec(statement)]


def _summary(policy: Policy) -> dict[str, Any]:
    found: dict[str, Any] = {
        "version": policy.version,
        "kind": policy.kind.value,
        "name": policy.name,
        "status": "imported",
    }
    if policy.kind is PolicyKind.IMPORT:
        return found
    endpoint = endpoint_of(policy)
    return found | {
        "status": "active" if endpoint.active else "switched off",
        "endpoint": endpoint.model_dump(mode="json"),
        "used": usage_of(policy).model_dump(),
    }


def _found(session: Session, project_id: int, name: str) -> Policy | None:
    return session.exec(
        select(Policy).where(
            Policy.project_id == project_id,
            Policy.kind == PolicyKind.ENDPOINT,
            Policy.name == name,
        )
    ).first()


def _record(session: Session, policy: Policy, by: Account | None, kind: str, **detail: Any) -> None:
    record(
        session,
        project_id=policy.project_id,
        account_id=by.id if by else None,
        kind=kind,
        version=policy.version,
        name=policy.name,
        **detail,
    )
