"""The middleware that takes no request body larger than the server has room for."""

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEBIBYTE = 2**20
# Our own forms have a name, a password and an address to go on to.
FORM_BYTES = 16_384
FORM = "application/x-www-form-urlencoded"
# What a multipart upload has around its file.
AROUND_FILE = 16_384


class _TooLarge(Exception):
    """Says that a body went on over its limit."""


class Limits:
    """Answer 413, with the limit in words, where a body is larger; read no more of it."""

    def __init__(self, app: ASGIApp, *, upload_megabytes: float) -> None:
        """Wrap `app`; `upload_megabytes` (MiB) is the setting of that name."""
        self.app = app
        self.most = int(upload_megabytes * MEBIBYTE) + AROUND_FILE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; websockets have a limit of their own."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        most = FORM_BYTES if headers.get("content-type", "").startswith(FORM) else self.most
        told = headers.get("content-length", "")
        if told.isdecimal() and int(told) > most:
            await _refuse(most, scope, receive, send)
            return
        started, taken = False, 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise _TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, counted, noted)
        except _TooLarge:
            if started:
                raise
            await _refuse(most, scope, receive, send)


async def _refuse(most: int, scope: Scope, receive: Receive, send: Send) -> None:
    size = f"{most // 1024} KiB" if most < MEBIBYTE else f"{most / MEBIBYTE:.1f} MiB"
    said = f"The request is too large; {size} are the most that this server takes.\n"
    kept = {"connection": "close"}
    answer: Response = PlainTextResponse(said, 413, kept)
    if scope["path"].startswith("/api/"):
        answer = JSONResponse({"error": said.strip()}, 413, kept)
    await answer(scope, receive, send)
