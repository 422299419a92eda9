"""The middleware around every request: who may come in, and which headers go out."""

from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.errors import Unavailable
from ui.cookie import COOKIE

# /metrics asks for a token itself, or for this machine.
PUBLIC_PATHS = (
    "/login", "/logout", "/healthz", "/readyz", "/metrics",
    "/favicon.png", "/favicon.ico", "/manifest.json",
)  # fmt: skip
PUBLIC_FOLDERS = ("/static/", "/_stcore/health", "/_stcore/host-config")

# Streamlit compiles nothing but Vega's chart expressions ('unsafe-eval'), has one inline script
# and inline styles, and loads a component's code from a blob. Images come only from here: text of
# a model can never fetch one.
APP_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' ws: wss:; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": APP_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # "no-referrer" would turn the Origin of our own forms into "null".
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
}


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


class Guard:
    """Send strangers to the sign-in page and put security headers on every answer.

    A websocket needs only the cookie here: the page's script looks at it again (`ui.session`), so
    that an open page whose sign-in ended is led to the sign-in page instead of going dead.
    """

    def __init__(self, app: ASGIApp, *, signed_in: Callable[[str], bool]) -> None:
        """Wrap `app`; `signed_in` looks a token up, may block, and raises `Unavailable`."""
        self.app = app
        self.signed_in = signed_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, _with_headers(send))
        else:
            await self.app(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if token_of(Headers(scope=scope)) is None:
            await send({"type": "websocket.close", "code": 4401})
            return
        await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        try:
            welcome = is_public(path) or await self._known(scope)
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


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return wrapped
