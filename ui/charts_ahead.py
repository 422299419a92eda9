"""The middleware that has a lead's page fetch its charts' scripts at once, and not when it draws.

Streamlit asks for them when the page's script has sent the first chart: a second after the page was
asked for, in files that name each other one by one.
"""

from functools import cache

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.entrance import fetched_ahead
from ui.script_files import named, needed, served_files

PAGES = ("/overview", "/agreement", "/annotators", "/throughput", "/rounds")
DRAWN_WITH = ("ArrowVegaLiteChart", "DataFrame")
#: bytes below which a file is not named: a proxy may take no more than 4 KiB of headers
LEAST_BYTES = 12_000


@cache
def links() -> str:
    """Return the value of the header `Link` (RFC 8288) that names the scripts."""
    first_page, files = set(fetched_ahead.paths()), served_files()
    more = [path for path in needed(named(*DRAWN_WITH)) if path not in first_page]
    large = [path for path in more if files[path].stat().st_size >= LEAST_BYTES]
    return ", ".join(f"<{path}>; rel=modulepreload" for path in large if path.endswith(".js"))


class ChartsAhead:
    """Name the charts' scripts in the answer with a page that has charts."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] not in PAGES:
            await self.app(scope, receive, send)
            return

        async def named_in(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_page(message):
                MutableHeaders(scope=message)["link"] = links()
            await send(message)

        await self.app(scope, receive, named_in)


def _is_page(message: Message) -> bool:
    kind = Headers(raw=message["headers"]).get("content-type", "")
    return message["status"] == 200 and kind.startswith("text/html")
