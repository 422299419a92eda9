"""The outermost middleware: a request id for every request, and its line in the log."""

import logging
import re
import time
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.telemetry.logs import log_context
from storage.telemetry.traces import span
from ui.observing.instruments import open_pages
from ui.observing.routes import PATHS

HEADER = "x-request-id"
_FIT = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = logging.getLogger(__name__)


class Requests:
    """Name every request (a proxy's X-Request-ID if it is a plain word), log and trace it.

    Query strings are left out: they may hold what should not be in a log.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or serve one page's websocket."""
        if scope["type"] == "websocket":
            with open_pages.track_inprogress():
                await self.app(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] not in PATHS:
            await self._http(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _FIT.fullmatch(given) else uuid4().hex[:16]
        method, path, status = scope["method"], scope["path"], 500

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        began = time.perf_counter()
        with log_context(request_id=request_id):
            try:
                with span(f"{method} request", path=path, request_id=request_id):
                    await self.app(scope, receive, named)
            finally:
                if _log.isEnabledFor(logging.INFO):
                    milliseconds = round((time.perf_counter() - began) * 1000, 2)
                    fields = {"status": status, "milliseconds": milliseconds}
                    _log.info("%s %s", method, path, extra=fields)
