"""The API's routes: who asks is known by a token alone, so no other site can use a browser's."""

import json
import logging
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from labeling.events import from_address
from labeling.imports.row_shape import BadRow
from labeling.imports.row_streams import ENDINGS
from labeling.people.access_tokens import account_of_secret, note_used
from labeling.people.refused_tokens import is_worth_recording, record_refused
from labeling.people.sign_ins import Browser
from labeling.permissions import narrowed_to
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict, NotAllowed, NotFound, RankloopError, Unavailable
from storage.tables import AccessToken, Account
from ui import process
from ui.api.asked import Asked
from ui.api.endpoints import BASE, ENDPOINTS, Endpoint, openapi
from ui.database import retried
from ui.entrance.browsers import browser_of
from ui.json_values import plain
from ui.last_seen import LastSeen

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
#: answers that are worked out at once; pages have their own threads
AT_ONCE = 2
STATUS = {BadInput: 400, NotAllowed: 403, NotFound: 404, Conflict: 409, Unavailable: 503}
_log = logging.getLogger(__name__)
_used = LastSeen()


def routes() -> list[Route]:
    """Return the routes; whatever else is asked under the base is answered in JSON, too."""
    limiter = CapacityLimiter(AT_ONCE)
    own = [
        Route(BASE + one.path, _answering(one, limiter), methods=[one.method]) for one in ENDPOINTS
    ]
    return [
        Route(f"{BASE}/openapi.json", _openapi, methods=["GET"]),
        *own,
        Route(f"{BASE}/{{rest:path}}", _nothing, methods=METHODS),
    ]


async def _openapi(_request: Request) -> Response:
    return JSONResponse(openapi())


async def _nothing(_request: Request) -> Response:
    return _error(f"There is no such address or method; {BASE}/openapi.json lists all.", 404)


def _error(sentence: str, status: int, **more: Any) -> JSONResponse:
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": sentence, **more}, status_code=status, headers=headers)


def _answering(
    endpoint: Endpoint, limiter: CapacityLimiter
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        folder = Path(await to_thread.run_sync(tempfile.mkdtemp, "", "rankloop-api-"))
        kept = False
        try:
            secret = _secret(request)
            known = await to_thread.run_sync(_known, secret)
            if known is None:
                await to_thread.run_sync(_note_refused, secret, browser_of(request))
                return _error("This access token is not good; make one on Your account.", 401)
            body, file = await _body(request, endpoint, folder)
            asked = Asked(
                account=known[0],
                token=known[1],
                project=await to_thread.run_sync(process.project),
                query=dict(request.query_params),
                path=dict(request.path_params),
                body=body,
                file=file,
                folder=folder,
            )
            address = browser_of(request).address
            given = await to_thread.run_sync(_work, endpoint, asked, address, limiter=limiter)
            if isinstance(given, Response):
                kept, given.background = True, BackgroundTask(_remove, folder)
                return given
            return JSONResponse(given, status_code=endpoint.status)
        except RankloopError as error:
            return _refusal(error, folder)
        except Exception:
            _log.exception("%s %s failed", endpoint.method, endpoint.path)
            return _error("This went wrong; the server's log says where.", 500)
        finally:
            if not kept:
                await to_thread.run_sync(_remove, folder)

    return answer


def _secret(request: Request) -> str:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.casefold() == "bearer" else ""


def _known(secret: str) -> tuple[Account, AccessToken] | None:
    def look() -> tuple[Account, AccessToken] | None:
        with reading(process.engine()) as session:
            return account_of_secret(session, secret=secret)

    found = retried(look)
    minutes = process.settings().accounts.seen_minutes
    if found is not None and _used.is_due(found[1].token_sha256, minutes=minutes):
        with writing(process.engine()) as session:
            note_used(session, token_id=found[1].id or 0, minutes=minutes)
    return found


def _note_refused(secret: str, browser: Browser) -> None:
    """Leave an event of a token that is not good; whoever sent none had none to refuse."""
    if not secret:
        return
    try:
        with reading(process.engine()) as session:
            due = is_worth_recording(session, secret=secret, browser=browser)
        if due:
            with writing(process.engine()) as session:
                record_refused(session, secret=secret, browser=browser)
    except (SQLAlchemyError, Unavailable):
        # The refusal holds all the same, and a full disk is told elsewhere.
        _log.warning("a refused access token could not be recorded", exc_info=True)


async def _body(request: Request, endpoint: Endpoint, folder: Path) -> tuple[Any, Path | None]:
    """Return the JSON that was sent, or the file into which what was sent went.

    How large it may be is the server's setting `upload_megabytes`, which is watched before.
    """
    if endpoint.takes == "json":
        try:
            return json.loads(await request.body() or b"{}"), None
        except (ValueError, RecursionError) as error:
            raise BadInput("The body is no JSON; docs/api.md has an example.") from error
    if endpoint.takes != "rows":
        return None, None
    ending = request.query_params.get("extension", "jsonl")
    if f".{ending}" not in ENDINGS:
        raise BadInput(f"There is no extension {ending}; use one of {', '.join(ENDINGS)}.")
    file = folder / f"rows.{ending}"
    with file.open("wb") as out:
        async for chunk in request.stream():
            out.write(chunk)
    return None, file


def _work(endpoint: Endpoint, asked: Asked, address: str) -> Any:
    with narrowed_to(asked.token.actions), from_address(address):
        given = endpoint.answer(asked)
    return given if isinstance(given, Response) else plain(given)


def _refusal(error: RankloopError, folder: Path) -> Response:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 400)
    # Where the server keeps what was sent is nobody's business.
    sentence = str(error).replace(f"{folder}/", "")
    if isinstance(error, BadRow):
        place = {"line": error.place.number, "field": error.field}
        return _error(sentence, status, **place)
    return _error(sentence, status)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
