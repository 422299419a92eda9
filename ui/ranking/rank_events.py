"""The ranking page's events by plain HTTP: most of them need no run of the page's script.

Streamlit's part of a run takes as long as all that is done in it. So the component posts what an
annotator does to this address, and is answered with what it shows next; the functions that do it
are those of the page. Where more than the component changes (a test, guidelines to read, nothing
left to rank, a sign-in that ended) nothing is answered but that, and the component sends the same
event over the websocket: its nonce keeps it from being done twice.
"""

from typing import Any, Literal

from anyio import CapacityLimiter, to_thread
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from labeling.quality_control.qualification import NotQualified
from storage.errors import RankloopError, Unavailable
from storage.tables import Account
from ui import process, session
from ui.components.ranking import DIRECTLY
from ui.cookie import COOKIE, LANGUAGE_COOKIE
from ui.database import retried
from ui.languages import Words, words_for
from ui.ranking import desk
from ui.ranking.sitting import Sitting
from ui.web.limits import MEBIBYTE

AGAIN = {"again": True}


class Posted(BaseModel):
    """An event of the component as it is posted."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    event: Literal["submit", "skip", "flag", "draft", "beat", "rewrite"]
    value: dict[str, Any]
    timezone: str = Field(default="", max_length=100)


def routes() -> list[Route]:
    """Return the route; the guard has looked at where a request comes from, and at its sign-in."""
    # One interpreter lock: threads that wait for it cost a third of the processor that they use.
    turns = CapacityLimiter(process.settings().events_at_once)

    async def post(request: Request) -> Response:
        return await _answer(request, turns)

    return [Route(DIRECTLY, post, methods=["POST"])]


async def _answer(request: Request, turns: CapacityLimiter) -> Response:
    body = await _body(request)
    if body is None:
        return PlainTextResponse("The event is too large.\n", 413, {"connection": "close"})
    try:
        posted = Posted.model_validate_json(body)
    except ValidationError:
        return PlainTextResponse("This is no event of the ranking page.\n", 400)
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    words = words_for(request.headers.get("accept-language"), chosen)
    token = request.cookies.get(COOKIE, "")
    try:
        found = await to_thread.run_sync(_carry_out, token, posted, words, limiter=turns)
    except (SQLAlchemyError, Unavailable):
        return PlainTextResponse(words.say("server.trouble"), 503, {"retry-after": "2"})
    if found is None:
        return PlainTextResponse("Sign in first.\n", 401)
    return JSONResponse(found, headers={"cache-control": "no-store"})


async def _body(request: Request) -> bytes | None:
    most = int(process.settings().message_megabytes * MEBIBYTE)
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            return None
        parts.append(chunk)
    return b"".join(parts)


def _carry_out(token: str, posted: Posted, words: Words) -> dict[str, Any] | None:
    """Return what the component shows next under "data", or `AGAIN`; None for a stranger."""
    account = retried(lambda: session.account_of(token))
    if account is None:
        return None
    sitting = Sitting()
    sitting.act(account=account, name=posted.event, value=posted.value, words=words)
    if sitting.still:
        return {"data": {"assignment": posted.value.get("assignment"), **sitting.said(words)}}
    return _next(sitting, account, posted, words)


def _next(sitting: Sitting, account: Account, posted: Posted, words: Words) -> dict[str, Any]:
    try:
        found = sitting.look(
            account=account,
            midnight=desk.midnight_in(posted.timezone),
            words=words,
            unless_unread=True,
        )
    except NotQualified:
        return AGAIN
    except RankloopError:
        # The page says why no task may be lent.
        return AGAIN
    if found.task is None or not found.direct:
        return AGAIN
    return {"data": found.shown(words) | sitting.said(words)}
