"""A real home with accounts and tasks, a real server on it, a real browser in front."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import Engine
from sqlmodel import Session, select

from labeling.accounts import create_account
from labeling.imports.prompts import content_sha256
from labeling.policies import create_first_policy
from labeling.projects import create_project
from labeling.work_queue.tasks import NewCompletion, add_task
from storage.engine import build_engine, reading, writing
from storage.settings import Settings, load_settings
from storage.tables import Account, Assignment, Judgment, Project, Prompt, Role, Split
from tests.cheap_hashes import cheap_hash, cheap_hashes

__all__ = ["cheap_hashes"]

PASSWORD = "correct horse battery"
ATTACK = (
    '<img src=x onerror="window.hacked=1"> ![x](http://attack.invalid/a.png) '
    "<script>window.hacked=1</script> **bold**"
)
OVERLAP = 90
ROOT = Path(__file__).parents[2]


@dataclass
class Home:
    """A folder with a database, and short ways to look into it."""

    settings: Settings
    engine: Engine
    project_id: int

    @property
    def path(self) -> Path:
        return self.settings.home

    def account(self, name: str, role: Role = Role.ANNOTATOR) -> Account:
        with writing(self.engine) as session:
            account = create_account(session, name=name, role=role)
            account.password_hash = cheap_hash(PASSWORD)
            return account

    def judgments(self, name: str) -> list[Judgment]:
        with reading(self.engine) as session:
            return list(
                session.exec(
                    select(Judgment).join(Account).where(Account.name == name).order_by(Judgment.id)  # type: ignore[arg-type]
                )
            )

    def assignments(self, name: str) -> list[Assignment]:
        with reading(self.engine) as session:
            return list(
                session.exec(
                    select(Assignment)
                    .join(Account)
                    .where(Account.name == name)
                    .order_by(Assignment.id)  # type: ignore[arg-type]
                )
            )


def make_home(folder: Path, template: Path, *, tasks: int = 8) -> Home:
    """Make a home of a copied database, which is quicker than one whose migrations run."""
    settings = load_settings(home=folder)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(template, folder / "rankloop.db")
    engine = build_engine(settings.url)
    with writing(engine) as session:
        project = create_project(session, name="default", settings=settings)
        project.overlap = OVERLAP
        assert project.id is not None
        policy = create_first_policy(
            session, project_id=project.id, name="tiny", checkpoint_uri="models/tiny"
        )
        for number in range(tasks):
            _task(session, project, policy.id, number)
    return Home(settings, engine, project.id)


def _task(session: Session, project: Project, policy_id: Any, number: int) -> None:
    messages = [{"role": "user", "content": f"Question {number}? {ATTACK}"}]
    prompt = Prompt(
        project_id=project.id,
        messages=messages,
        content_sha256=content_sha256(messages),
        split=Split.HELDOUT if number % 4 == 3 else Split.TRAIN,
    )
    session.add(prompt)
    session.flush()
    texts = [f"first {number}", f"second {number}\n\n{ATTACK}", f"third {number}", "long " * 600]
    completions = [
        NewCompletion(text=text, sampling={}, seed=0, finish_reason="stop", token_count=9)
        for text in texts
    ]
    add_task(
        session, project=project, prompt_id=prompt.id, policy_id=policy_id, completions=completions
    )


@pytest.fixture(scope="session")
def home_template(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Home:
    """Return a home with eight tasks and no account, to be copied."""
    made = make_home(tmp_path_factory.mktemp("home template") / "data", sqlite_template)
    with made.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    made.engine.dispose()
    return made


@contextmanager
def copied_home(template: Home, folder: Path) -> Iterator[Home]:
    """Yield a copy of a home that nothing is connected to."""
    folder.mkdir(parents=True)
    shutil.copyfile(template.path / "rankloop.db", folder / "rankloop.db")
    settings = load_settings(home=folder)
    engine = build_engine(settings.url)
    yield Home(settings, engine, template.project_id)
    engine.dispose()


@pytest.fixture
def home(tmp_path: Path, home_template: Home) -> Iterator[Home]:
    with copied_home(home_template, tmp_path / "rankloop-data") as made:
        yield made


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory, home_template: Home) -> Iterator[Home]:
    with copied_home(home_template, tmp_path_factory.mktemp("home") / "data") as made:
        yield made


@dataclass
class Server:
    """A running `rankloop serve`."""

    url: str
    process: "subprocess.Popen[bytes]"
    seconds_to_first_page: float


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ui.cli", *arguments]


def environment(**values: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **values}


@contextmanager
def running_server(home: Path, port: int | None = None, **values: str) -> Iterator[Server]:
    port = port or free_port()
    started = time.monotonic()
    process = subprocess.Popen(
        command("--home", str(home), "serve"),
        env=environment(RANKLOOP_PORT=str(port), **values),
        stdout=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_page(url, process)
        seconds = time.monotonic() - started
        yield Server(url, process, seconds)
    finally:
        process.terminate()
        process.wait(20)


def wait_for_page(url: str, process: "subprocess.Popen[bytes]", seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    request = urllib.request.Request(f"{url}/", headers={"Accept": "text/html"})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                assert b"Sign in" in answer.read()
                return
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def server(module_home: Home) -> Iterator[Server]:
    with running_server(module_home.path) as running:
        yield running


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=chromium_path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield running
        running.close()
