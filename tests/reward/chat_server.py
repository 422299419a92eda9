"""A chat completions server for tests, in a thread: it speaks HTTP, counts, and misbehaves."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Chatting:
    """What the server hears, and what it is told to do wrong."""

    url: str = ""
    key: str = ""  #: what it asks for
    requests: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    #: (status, headers, body) to answer with instead, once each
    faults: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    sleeps: float = 0.0  #: seconds before each answer
    usage: dict[str, int] | None = field(
        default_factory=lambda: {"prompt_tokens": 10, "completion_tokens": 5}
    )

    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, headers: Any, body: dict[str, Any]) -> tuple[int, dict[str, str], str]:
        with self._lock:
            self.requests.append(body)
            number = len(self.requests)
        self.times.append(time.monotonic())
        time.sleep(self.sleeps)
        if self.faults:
            return self.faults.pop(0)
        sent = headers.get("Authorization")
        if self.key and sent != f"Bearer {self.key}":
            return 401, {}, f"Incorrect key provided: {sent}"
        text = f"Answer {number} to: {body['messages'][-1]['content'][:40]}"
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return 200, {}, json.dumps({"choices": [choice], "usage": self.usage})


@contextmanager
def chatting() -> Iterator[Chatting]:
    served = Chatting()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, text = served.reply(self.headers, body)
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())
            except OSError:
                pass  # the client has given up

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
