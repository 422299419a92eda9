"""The pages outside Streamlit, behind the guard, in this process: without a server to start."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tests.ui.conftest import Home
from tests.ui.small_home import small_home
from ui import process
from ui.entrance import join, oidc, sign_in
from ui.web.guard import Guard


@pytest.fixture
def entrance_home(tmp_path: Path, sqlite_template: Path) -> Iterator[Home]:
    home = small_home(tmp_path / "home", sqlite_template)
    process.configure(home.settings)
    yield home
    home.engine.dispose()


def client_of(address: str = "192.0.2.7") -> TestClient:
    """Return a client whose requests come through a trusted proxy, from `address`."""

    async def inside(request: Request) -> PlainTextResponse:
        return PlainTextResponse("inside")

    app = Starlette(
        routes=[*sign_in.routes(), *join.routes(), *oidc.routes(), Route("/", inside)],
        middleware=[
            Middleware(ProxyHeadersMiddleware, trusted_hosts="127.0.0.1"),
            # Streamlit's app has one, too.
            Middleware(SessionMiddleware, secret_key="a key of Streamlit's"),
            Middleware(Guard, signed_in=sign_in.signed_in),
        ],
    )
    return TestClient(
        app, client=("127.0.0.1", 5000), headers={"x-forwarded-for": address},
        follow_redirects=False,
    )  # fmt: skip


@pytest.fixture
def client(entrance_home: Home) -> TestClient:
    return client_of()
