"""The middleware that sends Streamlit's scripts and styles packed; each is packed once.

Streamlit leaves them as they are: to pack them anew for everybody who comes would cost more than it
saves on a fast network. But annotators come over slow ones, and a first page is 2.3 MB of scripts.
"""

import gzip
from pathlib import Path

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ui.web.script_files import KINDS, served_files

#: bytes from which a file is packed; a smaller one is a packet or two in any case
LEAST_BYTES = 1024
# Their names carry a hash of what is in them.
KEPT = "public, immutable, max-age=31536000"


class PackedFiles:
    """Answer for Streamlit's own files where the browser takes gzip; all else goes through.

    What was packed stays in memory: about a megabyte for the pages that people open, and five if
    every file was asked for.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self.app = app
        self.files = {
            path: file
            for path, file in served_files().items()
            if file.stat().st_size >= LEAST_BYTES
        }
        self.packed: dict[str, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path not in self.files or not _wanted(scope):
            await self.app(scope, receive, send)
            return
        if path not in self.packed:
            self.packed[path] = await to_thread.run_sync(_packed, self.files[path])
        told = {"content-encoding": "gzip", "vary": "Accept-Encoding", "cache-control": KEPT}
        kind = KINDS[self.files[path].suffix]
        await Response(self.packed[path], headers=told, media_type=kind)(scope, receive, send)


def _wanted(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    packs = "gzip" in headers.get("accept-encoding", "")
    return scope["method"] == "GET" and packs and "range" not in headers


def _packed(file: Path) -> bytes:
    return gzip.compress(file.read_bytes(), mtime=0)
