"""One annotator's page without a browser: Streamlit's websocket, spoken as the page speaks it.

It signs in by the form, opens the websocket, asks for the page, and then sends the events of the
ranking component: posted to where they are answered directly, and by the websocket what is not, as
the component does. Compression is negotiated, as browsers do.
"""

import asyncio
import json
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import aiohttp
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from ui.cookie import COOKIE

_RANKING = "rankloop.ranking"
_WHOLE = (
    ForwardMsg.FINISHED_SUCCESSFULLY,
    ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY,
)
_TROUBLE = "could not reach its database"
PATIENCE = 60.0  # seconds that a page waits for an answer
_LARGEST_WINDOW = 15  # of permessage-deflate, as browsers offer


class PageLost(Exception):
    """The connection ended, or the page showed an error, before the answer was there."""


@dataclass(frozen=True)
class Run:
    """One run of the page's script: when its last message came, and what the component was given.

    `data` is None where the page shows no task.
    """

    at: float
    data: dict[str, Any] | None


@dataclass
class _Reading:
    data: dict[str, Any] | None = None
    error: str = ""


@dataclass
class PageSession:
    """An open page; `data` is what the ranking component shows (None: no task)."""

    http: aiohttp.ClientSession
    url: str
    cookie: str
    page_name: str = ""  # the address of another page than the first one
    data: dict[str, Any] | None = None
    received: int = 0  # bytes, after decompression
    _socket: aiohttp.ClientWebSocketResponse | None = None
    _reader: asyncio.Task[None] | None = None
    _freeing: asyncio.Task[bool] | None = None
    _runs: asyncio.Queue[Run | PageLost] = field(default_factory=asyncio.Queue)
    _page: str = ""
    _fragment: str = ""
    _component: str = ""

    async def __aenter__(self) -> "PageSession":
        """Open the page and wait for its first run; raise `PageLost` where there is none."""
        try:
            await self.open()
        except PageLost:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the page."""
        await self.close()

    async def open(self) -> None:
        """Connect and wait for the first run; raise `PageLost` where there is none."""
        try:
            self._socket = await self.http.ws_connect(
                self.url.replace("http", "ws", 1) + "/_stcore/stream",
                protocols=("streamlit",),
                compress=_LARGEST_WINDOW,
                max_msg_size=0,
                headers={"Cookie": f"{COOKIE}={self.cookie}"},
            )
        except (aiohttp.ClientError, OSError) as error:
            raise PageLost(str(error)) from error
        self._reader = asyncio.create_task(self._read(self._socket))
        message = BackMsg()
        message.rerun_script.context_info.timezone = "UTC"
        message.rerun_script.page_name = self.page_name
        await self._send(message)
        self.data = (await self._next_run()).data

    async def close(self) -> None:
        """End the connection as a closed tab does."""
        if self._reader is not None:
            self._reader.cancel()
        if self._socket is not None:
            await self._socket.close()

    def vanish(self) -> None:
        """Cut the connection without a word, as a killed browser does."""
        if self._reader is not None:
            self._reader.cancel()
        if self._socket is not None:
            connection = self._socket.get_extra_info("socket")
            if connection is not None:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            # Nothing goes out any more: this only frees what is held here.
            self._freeing = asyncio.create_task(self._socket.close())

    async def send(self, event: str, value: dict[str, Any]) -> None:
        """Send one event of the ranking component; raise `PageLost`."""
        message = BackMsg()
        rerun = message.rerun_script
        rerun.page_script_hash, rerun.fragment_id = self._page, self._fragment
        rerun.context_info.timezone = "UTC"
        widget = rerun.widget_states.widgets.add()
        widget.id = f"$$STREAMLIT_INTERNAL_KEY_{self._component}__events"
        widget.json_trigger_value = json.dumps([{"event": event, "value": value}])
        await self._send(message)

    async def note(self, event: str, value: dict[str, Any]) -> None:
        """Send a draft or a heartbeat, of which no new task comes; raise `PageLost`."""
        if await self._directly(event, value) is None:
            await self.send(event, value)

    async def submit(self, value: dict[str, Any]) -> float:
        """Submit; return the seconds until what comes next was there.

        A task of another number, none at all, or a refusal comes next. Raises `PageLost`.
        """
        before = self.data
        assert before is not None
        began = time.perf_counter()
        answer = await self._directly("submit", value)
        if answer is not None:
            self.data = {**before, **answer}
            return time.perf_counter() - began
        self._forget_runs()
        await self.send("submit", value)
        while True:
            run = await self._next_run()
            self.data = run.data
            if (
                run.data is None
                or run.data["assignment"] != before["assignment"]
                or (run.data["refusal"] and run.data["refusal"] != before["refusal"])
            ):
                return run.at - began

    async def _directly(self, event: str, value: dict[str, Any]) -> dict[str, Any] | None:
        """Post an event; return what is shown next, or None where the page must be asked."""
        path = self.data["direct"] if self.data else ""
        if not path:
            return None
        try:
            async with self.http.post(
                self.url + path,
                json={"event": event, "value": value, "timezone": "UTC"},
                headers={"Cookie": f"{COOKIE}={self.cookie}", "Origin": self.url},
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise PageLost(f"{type(error).__name__}: {error}") from error
        self.received += len(body)
        found: dict[str, Any] | None = json.loads(body).get("data") if answer.ok else None
        return found

    def _forget_runs(self) -> None:
        while not self._runs.empty():
            found = self._runs.get_nowait()
            if isinstance(found, PageLost):
                raise found

    async def _send(self, message: BackMsg) -> None:
        assert self._socket is not None
        try:
            await self._socket.send_bytes(message.SerializeToString())
        except (aiohttp.ClientError, OSError) as error:
            raise PageLost(str(error)) from error

    async def _next_run(self) -> Run:
        try:
            found = await asyncio.wait_for(self._runs.get(), PATIENCE)
        except TimeoutError as error:
            raise PageLost(f"no answer within {PATIENCE:.0f} s") from error
        if isinstance(found, PageLost):
            raise found
        return found

    async def _read(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        run = _Reading()
        try:
            async for received in websocket:
                if received.type is aiohttp.WSMsgType.BINARY:
                    self.received += len(received.data)
                    message = ForwardMsg()
                    message.ParseFromString(received.data)
                    run = self._take(message, run)
        except Exception as error:  # Whoever waits for a run must hear of it.
            self._runs.put_nowait(PageLost(f"{type(error).__name__}: {error}"))
        self._runs.put_nowait(PageLost("the connection was closed"))

    def _take(self, message: ForwardMsg, run: _Reading) -> _Reading:
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._page = message.new_session.page_script_hash
            return _Reading()
        if kind == "navigation":
            self._page = message.navigation.page_script_hash
        elif kind == "delta":
            self._take_element(message, run)
        elif kind == "script_finished" and message.script_finished in _WHOLE:
            found = PageLost(run.error) if run.error else Run(time.perf_counter(), run.data)
            self._runs.put_nowait(found)
        return run

    def _take_element(self, message: ForwardMsg, run: _Reading) -> None:
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "bidi_component" and element.bidi_component.component_name == _RANKING:
            run.data = json.loads(element.bidi_component.json)
            self._component = element.bidi_component.id
            self._fragment = message.delta.fragment_id
        elif kind == "exception":
            run.error = element.exception.message or "the page showed an error"
        elif kind == "alert" and _TROUBLE in element.alert.body:
            # No task is on such a page, and yet nobody was told that all is done.
            run.error = "the page has no database"


async def sign_out(http: aiohttp.ClientSession, url: str, cookie: str) -> None:
    """End the sign-in of a cookie by the form; raise `PageLost` where it was not taken."""
    headers = {"Cookie": f"{COOKIE}={cookie}", "Origin": url, "Sec-Fetch-Site": "same-origin"}
    try:
        async with http.post(f"{url}/logout", headers=headers, allow_redirects=False) as answer:
            if answer.status != 303:
                raise PageLost(f"signing out was answered with {answer.status}")
    except (aiohttp.ClientError, OSError) as error:
        raise PageLost(str(error)) from error


async def sign_in(http: aiohttp.ClientSession, url: str, name: str, password: str) -> str:
    """Return the cookie of a new sign-in; raise `PageLost` where none was given."""
    fields = {"name": name, "password": password, "next": "/"}
    try:
        async with http.post(f"{url}/login", data=fields, allow_redirects=False) as answer:
            if answer.status != 303 or COOKIE not in answer.cookies:
                raise PageLost(f"signing in as {name} was answered with {answer.status}")
            return answer.cookies[COOKIE].value
    except (aiohttp.ClientError, OSError) as error:
        raise PageLost(str(error)) from error
