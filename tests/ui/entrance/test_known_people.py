"""Two who come through the provider for the first time at the same moment, on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, select

from labeling.people import identities
from labeling.people.identities import Identity
from labeling.people.invitations import invite
from labeling.people.sign_ins import Browser, account_of_token
from labeling.projects import create_project
from storage.account_settings import OidcSettings
from storage.engine import reading, writing
from storage.errors import NotFound, RankloopError
from storage.settings import load_settings
from storage.tables import Account, Role
from ui import process
from ui.entrance.known_people import come_in

PATIENCE = 10.0


@pytest.fixture
def site(postgres_engine: Engine, tmp_path: Path) -> Iterator[Engine]:
    url = postgres_engine.url.render_as_string(hide_password=False)
    settings = load_settings(home=tmp_path, database_url=url, oidc=OidcSettings(new_accounts=True))
    with writing(postgres_engine) as session:
        create_project(session, name="default", settings=settings)
    process.configure(settings)
    yield postgres_engine
    process.engine().dispose()


def person(subject: str) -> Identity:
    return Identity(f"issuer#{subject}", "ada", "", False, ())


def come_at_once(
    monkeypatch: pytest.MonkeyPatch, *people: Identity, code: str | None = None
) -> list[str | type[RankloopError]]:
    """Let each come in; all have looked for their account and a free name before one is made."""
    looked, free_name = Barrier(len(people)), identities._free_name
    waited: set[str] = set()

    def together(session: Session, identity: Identity) -> str:
        name = free_name(session, identity)
        if len(waited) < len(people):
            waited.add(str(looked.wait(PATIENCE)))
        return name

    monkeypatch.setattr(identities, "_free_name", together)
    found: list[str | type[RankloopError]] = []

    def come(one: Identity) -> None:
        try:
            found.append(come_in(one, code, None, Browser()))
        except RankloopError as error:
            found.append(type(error))

    threads = [Thread(target=come, args=(one,)) for one in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
    return found


def names(engine: Engine, tokens: list[str | type[RankloopError]]) -> list[str]:
    with reading(engine) as session:
        accounts = [account_of_token(session, token=str(each)) for each in tokens]
    return sorted(each.name if each else "nobody" for each in accounts)


def test_one_person_in_two_tabs_is_signed_in_in_both(
    site: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = person("1")
    assert names(site, come_at_once(monkeypatch, ada, ada)) == ["ada", "ada"]
    with reading(site) as session:
        assert len(session.exec(select(Account)).all()) == 1


def test_two_people_of_one_name_get_an_account_each(
    site: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = come_at_once(monkeypatch, person("1"), person("2"))
    assert names(site, found) == ["ada", "ada 2"]


def test_one_invitation_lets_one_person_in_twice_and_nobody_else(
    site: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = person("1")

    def code() -> str:
        with writing(site) as session:
            return invite(session, by=None, role=Role.ANNOTATOR, hours=1)[1]

    assert names(site, come_at_once(monkeypatch, ada, ada, code=code())) == ["ada", "ada"]
    found = come_at_once(monkeypatch, person("2"), person("3"), code=code())
    assert found.count(NotFound) == 1
