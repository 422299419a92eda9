"""The middleware around every request: who may come in, and which headers go out."""

import logging
from collections.abc import Callable, Sequence
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.errors import Unavailable
from ui.cookie import COOKIE

#: what Streamlit answers itself, and without its page
STREAMLIT_PATHS = (
    "/favicon.png", "/manifest.json", "/_stcore/health", "/_stcore/host-config",
)  # fmt: skip
STATIC_FOLDER = "/static/"
# Where nothing answers them, `ui.web.nothing_here` does.
# /metrics asks for a token itself, or for this machine; so does the API, which takes no cookie.
PUBLIC_PATHS = (
    "/login", "/logout", "/join", "/oidc/login", "/oidc/begin", "/oidc/callback",
    "/healthz", "/readyz", "/metrics", "/favicon.ico",
    *STREAMLIT_PATHS,
)  # fmt: skip
# What is done there looks the sign-in up itself, and most of what people do comes there.
ASKING_THEMSELVES = ("/rank/events",)
PUBLIC_FOLDERS = ("/api/v1/", STATIC_FOLDER)

# Streamlit compiles nothing but Vega's chart expressions ('unsafe-eval'), has inline styles and one
# inline script, whose hash is named, and loads a component's code from a blob. Nothing is fetched
# from elsewhere or sent there, whatever text of a model says.
APP_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval' blob: {hashes}; script-src-attr 'none'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; worker-src 'self' blob:; frame-src 'none'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # "no-referrer" would turn the Origin of our own forms into "null".
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
}
# Methods that change nothing (RFC 9110, section 9.2.1).
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_log = logging.getLogger(__name__)


def token_of(headers: Headers) -> str | None:
    """Return the sign-in token among the cookies of `headers`, if there is one."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel and morsel.value else None


def is_public(path: str) -> bool:
    """Say whether `path` may be read without signing in."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_FOLDERS)


def sent_from_here(headers: Headers) -> bool:
    """Say whether a page of this server sent a request, or no browser at all."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    return origin.partition("://")[2] == headers.get("host")


class Guard:
    """Send strangers to the sign-in page and put security headers on every answer.

    What another site's page sends is refused, by websocket too. An error that nobody expected is in
    the log; whoever asked is told that there was one.

    A websocket needs only a cookie that is ours: the page's script looks at it again
    (`ui.session`), so that an open page whose sign-in ended is led to the sign-in page instead of
    going dead.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        signed_in: Callable[[str], bool],
        issued: Callable[[str], bool] | None = None,
        script_hashes: Sequence[str] = (),
    ) -> None:
        """Wrap `app`; `signed_in` looks a token up, may block, and raises `Unavailable`.

        `issued` says whether a token was ever a sign-in's (None: of any it is taken to be so).
        `script_hashes` are those of the page's inline scripts, which may run.
        """
        self.app = app
        self.signed_in = signed_in
        self.issued = issued
        policy = APP_POLICY.format(hashes=" ".join(script_hashes))
        self.headers = {"content-security-policy": policy, **HEADERS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._answered(scope, receive, self._with_headers(send))
        else:
            await self.app(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        token = token_of(headers)
        welcome = token is not None and sent_from_here(headers)
        if token is not None and welcome and self.issued is not None:
            welcome = await to_thread.run_sync(self.issued, token)
        if not welcome:
            await send({"type": "websocket.close", "code": 4401})
            return
        await self.app(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._http(scope, receive, noted)
        except Exception:
            if started:
                raise
            _log.exception("%s %r failed", scope["method"], scope["path"])
            answer = PlainTextResponse("This went wrong; the server's log says where.\n", 500)
            await answer(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        # The sign-in page says it in its own words.
        changes = path not in PUBLIC_PATHS and scope["method"] not in SAFE_METHODS
        if changes and not sent_from_here(Headers(scope=scope)):
            refusal = PlainTextResponse("This request came from another site.\n", 403)
            await refusal(scope, receive, send)
            return
        try:
            itself = path in ASKING_THEMSELVES
            welcome = itself or is_public(path) or await self._known(scope)
        except Unavailable as error:
            later = PlainTextResponse(f"{error}\n", 503, {"retry-after": "2"})
            await later(scope, receive, send)
            return
        if welcome:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        for_people = "text/html" in headers.get("accept", "") or path == "/"
        if scope["method"] in ("GET", "HEAD") and for_people:
            query = scope["query_string"].decode("latin-1")
            wanted = quote(f"{path}?{query}" if query else path, safe="")
            answer: ASGIApp = RedirectResponse(f"/login?next={wanted}", status_code=303)
        else:
            answer = PlainTextResponse("Sign in first.\n", status_code=401)
        await answer(scope, receive, send)

    async def _known(self, scope: Scope) -> bool:
        token = token_of(Headers(scope=scope))
        return token is not None and await to_thread.run_sync(self.signed_in, token)

    def _with_headers(self, send: Send) -> Send:
        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        return wrapped
