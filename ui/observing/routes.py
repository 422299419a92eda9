"""`/healthz`, `/readyz` and `/metrics`: what load balancers, Kubernetes and Prometheus ask."""

import ipaddress
import time
from functools import cache
from hmac import compare_digest

from alembic.migration import MigrationContext
from anyio import CapacityLimiter, fail_after, to_thread
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from storage.errors import RankloopError
from storage.migrate import newest_revision
from ui import process
from ui.observing.database_figures import DatabaseFigures
from ui.observing.instruments import registry

PATHS = ("/healthz", "/readyz", "/metrics")
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
_KEPT_SECONDS = 1.0  # an answer of /readyz: strangers may ask, but not make work


def routes() -> list[Route]:
    """Return the routes; each has a thread of its own, so a slow database blocks no page."""
    readiness, limiter = Readiness(), CapacityLimiter(1)
    _add_database_figures()

    async def metrics(request: Request) -> Response:
        return await _metrics(request, limiter)

    return [
        Route("/healthz", _healthz, methods=["GET"]),
        Route("/readyz", readiness.answer, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]


@cache
def _add_database_figures() -> None:
    registry.register(DatabaseFigures())


async def _healthz(_request: Request) -> Response:
    # The database is not asked: where it is down, restarting this process would help nobody.
    return JSONResponse({"ok": True})


class Readiness:
    """Say whether this process can serve: its database answers and is of this version."""

    def __init__(self) -> None:
        """Begin without an answer."""
        self._limiter: CapacityLimiter | None = None
        self._problem = ""
        self._asked_at = float("-inf")

    async def answer(self, _request: Request) -> Response:
        """Return 200, or 503 with the problem in plain words."""
        if time.monotonic() - self._asked_at >= _KEPT_SECONDS:
            self._problem = await self._ask()
            self._asked_at = time.monotonic()
        if self._problem:
            return JSONResponse({"ok": False, "problem": self._problem}, status_code=503)
        return JSONResponse({"ok": True})

    async def _ask(self) -> str:
        self._limiter = self._limiter or CapacityLimiter(1)
        seconds = process.settings().ready_seconds
        try:
            with fail_after(seconds):
                return await to_thread.run_sync(
                    problem_of_database, abandon_on_cancel=True, limiter=self._limiter
                )
        except TimeoutError:
            return f"The database did not answer within {seconds:g} seconds."


def problem_of_database() -> str:
    """Return why the database cannot be used, "" where it can.

    No address, path or name is in it: strangers may read it; the process's log has the rest.
    """
    try:
        with process.engine().connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
        if current is None:
            return "The database has no tables of rankloop; run `rankloop init`."
        if current != _wanted():
            return (
                f"The database is at revision {current} and this server needs {_wanted()}; run "
                "`rankloop init` of this version, or restore a backup."
            )
        process.project()
    except SQLAlchemyError:
        return "The database does not answer; start it, or mend RANKLOOP_DATABASE_URL."
    except RankloopError:
        return "The project is missing in the database; run `rankloop init`."
    return ""


@cache
def _wanted() -> str:
    return newest_revision()


async def _metrics(request: Request, limiter: CapacityLimiter) -> Response:
    if not may_read_metrics(request, process.settings().metrics_token):
        return PlainTextResponse(
            "Metrics are for this machine alone; from elsewhere, or through a proxy, set "
            "RANKLOOP_METRICS_TOKEN and send it as a bearer token.\n",
            status_code=401,
            headers={"www-authenticate": "Bearer"},
        )
    content = await to_thread.run_sync(generate_latest, registry, limiter=limiter)
    return Response(content, media_type=CONTENT_TYPE_LATEST)


def may_read_metrics(request: Request, token: str) -> bool:
    """Say whether the request has the token, or without one set comes from this machine itself.

    What a proxy passed on comes from elsewhere, even where the proxy is on this machine; a page of
    another site that had its name resolve to 127.0.0.1 shows in the Host header.
    """
    if token:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return compare_digest(given.encode(), token.encode())
    if any(name in request.headers for name in FORWARDED) or request.client is None:
        return False
    return _is_loopback(request.client.host) and _is_loopback(request.url.hostname or "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
