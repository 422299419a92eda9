"""Planted secrets: in no table, log, report, metric, page or error that the server makes."""

import json
import logging
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from labeling.endpoint_policies import Endpoint, add_endpoint_policy
from labeling.labeling_settings import change_labeling
from labeling.webhooks.signing import read_secret
from labeling.webhooks.subscriptions import add_webhook
from storage.engine import build_engine, writing
from storage.errors import BadInput, RankloopError, Unavailable
from storage.secrets import secret_text
from storage.settings import load_settings
from storage.tables import Project, Role
from tests.ui.conftest import PASSWORD, Home, Server, command, environment, free_port, wait_for_page
from tests.ui.small_home import small_home
from tests.ui.web.test_server import ask, sign_in
from ui.cli.commands import cli
from ui.cli.frame import run, shell_account

SECRETS = {
    "RANKLOOP_METRICS_TOKEN": "metrics-token-swordfish-1",
    "HOOK_SECRET": "whsec_c3dvcmRmaXNoLXN3b3JkZmlzaC1zd29yZGZpc2gtMjI=",
    "SERVER_KEY": "endpoint-key-swordfish-3",
    "RANKLOOP_JUDGE_API_KEY": "judge-key-swordfish-4",
    "RANKLOOP_OIDC_SECRET": "oidc-swordfish-5",
    "HF_TOKEN": "hf_swordfish_6",
    "PGPASSWORD": "pg-swordfish-7",
}
# In the clear, and as a database or a header may hold it.
LOOKED_FOR = [*(one.encode() for one in SECRETS.values()), b"swordfish", PASSWORD.encode()]


def found_in(content: bytes) -> list[bytes]:
    return [one for one in LOOKED_FOR if one in content]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Home]:
    """Return a home that was told the name of every secret."""
    home = small_home(tmp_path_factory.mktemp("secrets") / "data", sqlite_template)
    with writing(home.engine) as session:
        project = session.get_one(Project, home.project_id)
        admin = shell_account()
        add_webhook(
            session, project=project, by=None, url="http://127.0.0.1:1/hook",
            kinds=["round.started"], secret_env="HOOK_SECRET", private=True,
        )  # fmt: skip
        endpoint = Endpoint(url="http://127.0.0.1:1/v1", model="m", key_env="SERVER_KEY")
        add_endpoint_policy(
            session, project_id=home.project_id, name="server", endpoint=endpoint, by=admin
        )
        change_labeling(
            session, project=project, by=None, section="model_annotators",
            values={"judge": "http://127.0.0.1:1/v1"},
        )  # fmt: skip
    home.account("ada", Role.ADMIN)
    yield home
    home.engine.dispose()


def test_what_the_server_says_holds_no_secret(told: Home) -> None:
    port = free_port()
    process = subprocess.Popen(
        command("--home", str(told.path), "serve"),
        env=environment(RANKLOOP_PORT=str(port), RANKLOOP_LOG_FORMAT="json", **SECRETS),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}", process, 0.0)
    said = b""
    try:
        wait_for_page(server.url, process)
        cookie = sign_in(server, "ada")[1]["set-cookie"].split(";")[0]
        bearer = {"Authorization": f"Bearer {SECRETS['RANKLOOP_METRICS_TOKEN']}"}
        for path, more in (
            ("/metrics", bearer), ("/readyz", {}), ("/", {"Cookie": cookie}), ("/login", {}),
            (f"/nothing?token={SECRETS['HF_TOKEN']}", {}), ("/metrics", {"Authorization": "x"}),
        ):  # fmt: skip
            _, headers, text = ask(server, "GET", path, **more)
            # The address that was asked for is given back to whoever asked, and to nobody else.
            headers.pop("location", None)
            said += json.dumps(headers).encode() + text.encode()
        sign_in(server, "ada", "swordfish-typed-wrong")
    finally:
        process.terminate()
        log = process.communicate(timeout=30)[0]
    assert (b"# HELP" in said and b'"path"' in log) or b"GET /metrics" in log or log
    assert found_in(said) == []
    assert found_in(log) == []
    token = cookie.partition("=")[2].encode()
    assert token not in log


COMMANDS = [
    ["webhook", "test", "1"], ["webhook", "list"], ["policies", "list", "--json"],
    ["labeling", "show"], ["events"], ["complete", "server", "--count", "1"],
    pytest.param(["doctor", "--json"], marks=pytest.mark.slow),
]  # fmt: skip


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda each: each[0])
def test_no_command_prints_a_secret_even_with_its_traceback(
    told: Home,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    run(cli, ["--home", str(told.path), "--debug", *arguments])
    said = "".join(capfd.readouterr()).encode()
    assert said
    assert found_in(said) == []


def test_the_database_and_every_file_hold_no_secret(told: Home) -> None:
    told.engine.dispose()
    with closing(sqlite3.connect(told.path / "rankloop.db")) as connection:
        dump = "\n".join(connection.iterdump()).encode()
    assert b"HOOK_SECRET" in dump and b"SERVER_KEY" in dump, "the names are there"
    assert found_in(dump) == []
    for file in told.path.rglob("*"):
        if file.is_file():
            assert found_in(file.read_bytes()) == [], file


URLS = [
    "postgresql://u:swordfish@127.0.0.1:1/d", "postgresql//u:swordfish@h/d",
    "postgresql://u:swordfish@h:bad/d", "nosuch://u:swordfish@h/d", "u:swordfish@h",
    "postgresql://u:sword@fish:swordfish@127.0.0.1:1/d?password=swordfish",
]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_no_error_about_a_database_tells_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RANKLOOP_DATABASE_URL", url)
    assert "swordfish" not in repr(load_settings())
    try:
        with build_engine(url).connect():
            pass
    except Exception as error:
        logging.getLogger("ui.test").exception("lost")
        if isinstance(error, RankloopError):
            assert "swordfish" not in str(error)
    assert caplog.records and "swordfish" not in caplog.text


def test_an_error_of_the_database_tells_no_value(
    told: Home, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        with told.engine.connect() as connection:
            connection.exec_driver_sql("INSERT INTO nothing VALUES (?)", (SECRETS["HF_TOKEN"],))
    except Exception:
        logging.getLogger("ui.test").exception("lost")
    assert caplog.records and "swordfish" not in caplog.text


def test_no_error_about_a_setting_tells_its_value(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RANKLOOP_METRICS_TOKEN", "sword fish")
    with pytest.raises(BadInput) as refusal:
        load_settings()
    logging.getLogger("ui.test").error("lost", exc_info=refusal.value)
    assert "RANKLOOP_METRICS_TOKEN" in caplog.text and "sword fish" not in caplog.text


def test_secrets_come_from_files_and_from_systemd(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "RANKLOOP_DATABASE_URL").write_text("postgresql://u@h/credential\n")
    (tmp_path / "RANKLOOP_METRICS_TOKEN").write_text("a-token-of-systemd\n")
    (tmp_path / "HOOK").write_text(SECRETS["HOOK_SECRET"])
    settings = load_settings()
    assert settings.url == "postgresql://u@h/credential"
    assert settings.metrics_token == "a-token-of-systemd"
    assert read_secret("HOOK").startswith(b"swordfish")
    (tmp_path / "url").write_text("postgresql://u@h/file\n")
    monkeypatch.setenv("RANKLOOP_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert load_settings().url == "postgresql://u@h/file"
    monkeypatch.setenv("RANKLOOP_DATABASE_URL", "postgresql://u@h/environment")
    assert load_settings().url == "postgresql://u@h/environment"


def test_a_secret_file_that_cannot_be_read_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKLOOP_DATABASE_URL_FILE", "/nowhere/url")
    with pytest.raises(Unavailable, match="RANKLOOP_DATABASE_URL_FILE names cannot be read"):
        load_settings()
    assert secret_text("../../etc/passwd") == ""
