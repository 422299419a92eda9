"""The component's code and style at an address of their own, which the browser keeps.

Inside Streamlit's message they would be sent again with every task: more than 100 KB a submit.
"""

import hashlib
import json
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

HERE = Path(__file__).parent
# One module in pieces, in the order in which they stand in it.
PIECES = (
    "words.js",
    "order.js",
    "keep.js",
    "clock.js",
    "direct.js",
    "outbox.js",
    "texts.js",
    "difference.js",
    "choices.js",
    "criteria.js",
    "strength.js",
    "notes.js",
    "rewrite.js",
    "view.js",
    "toolbar.js",
    "dialogs.js",
    "announce.js",
    "drag.js",
    "comparing.js",
    "board.js",
    "away.js",
    "keys.js",
    "keyboard.js",
    "ranking.js",
)
STYLES = (
    "ranking.css",
    "toolbar.css",
    "rail.css",
    "dialogs.css",
    "criteria.css",
    "notes.css",
    "rewrite.css",
)


def module() -> str:
    """Return the component as one JavaScript module with its style in it."""
    style = f"const STYLE = {json.dumps(_joined(STYLES))};"
    return f"{style}\n{_joined(PIECES)}"


def _joined(names: tuple[str, ...]) -> str:
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)


MODULE = module().encode()
# Named by its content: a browser may keep it for ever, and a new version has another name.
PATH = f"/components/ranking-{hashlib.sha256(MODULE).hexdigest()[:16]}.js"
# Streamlit loads this text from a blob, where a relative address means nothing.
LOADER = f"""const {{ default: show }} = await import(new URL("{PATH}", location.origin));
export default show;
"""


def routes() -> list[Route]:
    """Return the route of the module; any name of it is answered with what this server has."""
    return [Route("/components/ranking-{name}.js", _module, methods=["GET"])]


async def _module(request: Request) -> Response:
    ours = request.url.path == PATH
    kept = "private, max-age=31536000, immutable" if ours else "no-store"
    return Response(MODULE, media_type="text/javascript", headers={"cache-control": kept})
