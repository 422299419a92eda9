"""The middleware that names the language of Streamlit's page, which says "en" of every page.

Screen readers choose their voice by it (WCAG 2.2, success criterion 3.1.1), and browsers the font:
Chinese, Japanese and Korean share code points that each of them draws in its own way.
"""

from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.cookie import LANGUAGE_COOKIE
from ui.languages import DEFAULT, words_for

TAG = b'<html lang="%s"'
# What would have the page answered packed, or not at all as the browser has it in English.
_LEFT_OUT = (b"accept-encoding", b"if-none-match", b"if-modified-since")


class PageLanguage:
    """Put the reader's language into the page's `<html>`; English pages go through as they are."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        language = _language(headers)
        if language == DEFAULT or "text/html" not in headers.get("accept", ""):
            await self.app(scope, receive, send)
            return
        plain = [each for each in scope["headers"] if each[0] not in _LEFT_OUT]
        await self.app({**scope, "headers": plain}, receive, _Named(send, language).send)


def _language(headers: Headers) -> str:
    try:
        chosen = SimpleCookie(headers.get("cookie", "")).get(LANGUAGE_COOKIE)
    except CookieError:
        chosen = None
    return words_for(headers.get("accept-language"), chosen.value if chosen else None).language


class _Named:
    """Holds a page back until it is whole, and sends it on with its language."""

    def __init__(self, send: Send, language: str) -> None:
        self._on = send
        self._language = language.encode()
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_page(message):
            self._start = message
        elif message["type"] != "http.response.body" or self._start is None:
            await self._on(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._whole(self._start)

    async def _whole(self, start: Message) -> None:
        body = self._body.replace(TAG % DEFAULT.encode(), TAG % self._language, 1)
        headers = MutableHeaders(scope=start)
        headers["content-length"] = str(len(body))
        for name in ("etag", "last-modified"):
            del headers[name]
        headers.add_vary_header("Cookie, Accept-Language")
        await self._on(start)
        await self._on({"type": "http.response.body", "body": body})


def _is_page(message: Message) -> bool:
    kind = Headers(raw=message["headers"]).get("content-type", "")
    return message["status"] == 200 and kind.startswith("text/html")
