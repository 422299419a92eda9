"""The API behind the guard, in this process, on a project with judgments."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from labeling.imports.preferences import import_staged, staged_file
from labeling.people.access_tokens import make_token
from storage.engine import writing
from storage.tables import Project, Role
from tests.sample_rows import add_account
from tests.ui.conftest import Home
from tests.ui.small_home import small_home
from ui import process
from ui.api import routes
from ui.entrance import sign_in
from ui.web.guard import Guard
from ui.web.limits import Limits

As = Callable[..., TestClient]
# A module's tests share one database, so the count has to outlive a test.
ACCOUNT_NUMBERS = itertools.count(1)


def pairs(name: str) -> str:
    """Return six judged pairs as rows of a file."""
    return "\n".join(
        json.dumps({"prompt": f"Choose {n} of {name}.", "chosen": "Yes.", "rejected": f"No {n}."})
        for n in range(6)
    )


def add_pairs(home: Home, folder: Path) -> None:
    """Import six judged pairs into the project of a home."""
    file = folder / "pairs.jsonl"
    file.write_text(pairs("the first file"))
    with (
        staged_file(file, format="trl_preference") as staged,
        writing(home.engine) as session,
    ):
        project = session.get_one(Project, home.project_id)
        import_staged(session, project=project, staged=staged, by=None, heldout_share=0.15)


@pytest.fixture(scope="module")
def api_home(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("api")
    home = small_home(folder / "home", sqlite_template)
    add_pairs(home, folder)
    yield home
    home.engine.dispose()


@pytest.fixture
def api_as(api_home: Home) -> As:
    """Return a function that gives a client with a token of a new account."""
    process.configure(api_home.settings)
    app = Starlette(
        routes=routes.routes(),
        middleware=[
            Middleware(Guard, signed_in=sign_in.signed_in),
            Middleware(Limits, upload_megabytes=0.05),
        ],
    )

    def client(role: Role = Role.LEAD, *actions: str) -> TestClient:
        name = f"{role} {next(ACCOUNT_NUMBERS)}"
        account = add_account(api_home.engine, name, role=role)
        with writing(api_home.engine) as session:
            _, secret = make_token(
                session, account=account, name="t", days=1, longest=1, by=account, actions=actions
            )
        return TestClient(app, headers={"authorization": f"Bearer {secret}"})

    return client
