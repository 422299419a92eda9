"""The component's code has an address of its own, for those who are signed in."""

import asyncio
import re

from starlette.requests import Request

from ui.components.ranking import served


def fetched(path: str) -> tuple[bytes, str]:
    (route,) = served.routes()
    request = Request({"type": "http", "path": path, "headers": [], "query_string": b"",
                       "server": ("test", 80), "scheme": "http", "method": "GET"})  # fmt: skip
    answer = asyncio.run(route.endpoint(request))
    return bytes(answer.body), str(answer.headers["cache-control"])


def test_the_message_holds_only_the_address_of_the_code() -> None:
    assert served.PATH in served.LOADER
    assert len(served.LOADER) < 300


def test_the_code_is_kept_under_its_own_name_only() -> None:
    body, kept = fetched(served.PATH)
    assert body == served.module().encode()
    assert "immutable" in kept
    other, not_kept = fetched("/components/ranking-of-another-version.js")
    assert other == body
    assert not_kept == "no-store"


def test_every_file_of_the_component_is_in_the_module() -> None:
    files = {path.name for path in served.HERE.iterdir() if path.suffix in (".js", ".css")}
    assert files == {*served.PIECES, *served.STYLES}


def test_no_two_pieces_use_one_name() -> None:
    found = re.findall(r"^(?:const|let|class|function|async function) (\w+)", served.module(), re.M)
    assert len(found) == len(set(found))
