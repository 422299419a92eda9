"""Public addresses at which nothing is: Streamlit would answer them with its page, to strangers.

It answers every address that it does not know so, since a page of ours is one. Whoever is signed in
gets that page wherever they go; what may be read without a sign-in ends here.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import cache

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ui.web.guard import PUBLIC_PATHS, STATIC_FOLDER, STREAMLIT_PATHS
from ui.web.script_files import static_folder

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def routes(own: Sequence[Route]) -> list[Route]:
    """Return routes for public addresses that no route of `own` answers; they come after those.

    An address that `own` knows with other methods is answered with 405, and another with 404.
    """
    found = []
    for path in PUBLIC_PATHS:
        if path in STREAMLIT_PATHS:
            continue
        allowed = {name for one in own if one.path == path for name in one.methods or ()}
        found.append(Route(path, _answering(allowed), methods=METHODS))
    return found


class FilesAlone:
    """Answer 404 in Streamlit's folder where it has no file; a route there it would not take."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self.app = app
        self.files = static_paths()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        missing = path.startswith(STATIC_FOLDER) and path not in self.files
        if scope["type"] == "http" and missing:
            await _nothing()(scope, receive, send)
        else:
            await self.app(scope, receive, send)


@cache
def static_paths() -> frozenset[str]:
    """Return the addresses of all files in Streamlit's folder: scripts, styles, fonts, pictures."""
    root = static_folder()
    return frozenset(
        f"/{file.relative_to(root).as_posix()}"
        for file in (root / STATIC_FOLDER.strip("/")).rglob("*")
        if file.is_file()
    )


def _answering(allowed: set[str]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_request: Request) -> Response:
        if not allowed:
            return _nothing()
        names = ", ".join(sorted(allowed))
        told = f"This address is for {names} alone.\n"
        return PlainTextResponse(told, status_code=405, headers={"allow": names})

    return answer


def _nothing() -> Response:
    return PlainTextResponse("There is nothing here.\n", status_code=404)
