"""What was ended, used or revoked after a backup is not good again once it is restored."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine, text
from sqlmodel import col, select

from labeling.accounts import create_account
from labeling.keys import key_of
from labeling.people.access_tokens import account_of_secret, make_token, revoke_token
from labeling.people.invitations import accept, invite, offered, revoke_invitation
from labeling.people.own_password import set_password
from labeling.people.roles import change_project_role, change_role, switch_off
from labeling.people.sign_ins import account_of_token, open_sign_in, revoke_sign_ins
from labeling.privacy.erasure import erase_person
from storage.clock import now
from storage.engine import build_engine, reading, writing
from storage.errors import NotFound
from storage.migrate import alembic_config, migrating, revisions, upgrade
from storage.moving.backup import back_up
from storage.moving.restore import Restored, restore
from storage.moving.ways_in import BroughtBack, Closed, close_ways_in, stored_accounts
from storage.tables import Account, Event, Project, Role
from tests.cheap_hashes import cheap_hashes

__all__ = ["cheap_hashes"]


def quiet(_words: str, _share: float) -> None:
    return None


@dataclass
class Scene:
    """A backup of a database in which everything was open, and what was taken away since."""

    engine: Engine
    folder: Path
    ids: dict[str, int]
    sign_in: str
    token: str
    codes: tuple[str, str, str]

    def restore(self, *, replace: bool = True, keep_sign_ins: bool = False) -> Restored:
        self.engine.dispose()
        return restore(
            self.folder / "b.tar", url=self.engine.url.render_as_string(hide_password=False),
            home=self.folder / "home", replace=replace, keep_sign_ins=keep_sign_ins,
            progress=quiet,
        )  # fmt: skip

    def account(self, name: str) -> Account:
        with reading(self.engine) as session:
            return session.get_one(Account, self.ids[name])


@pytest.fixture
def scene(engine: Engine, project: Project, tmp_path: Path) -> Iterator[Scene]:
    with writing(engine) as session:
        people = {
            name: create_account(session, name=name, role=role, password="long enough 1")
            for name, role in {
                "root": Role.ADMIN, "ada": Role.LEAD, "bob": Role.ANNOTATOR, "eve": Role.ENGINEER,
                "pat": Role.ANNOTATOR, "same": Role.ANNOTATOR,
            }.items()
        }  # fmt: skip
        people["pat"].oidc_subject = "https://id.example.org#pat"
        ids = {name: key_of(account) for name, account in people.items()}
        sign_in = open_sign_in(session, account_id=ids["ada"], hours=1)
        open_sign_in(session, account_id=ids["bob"], hours=-1)
        made, secret = make_token(
            session, account=people["eve"], name="CI", days=1, longest=9, by=None
        )
        offers = [invite(session, role=Role.ANNOTATOR, hours=1, by=None) for _ in range(3)]
    back_up(engine, home=tmp_path, out=tmp_path / "b.tar", with_files=False, progress=quiet)
    with writing(engine) as session:
        stored = {name: session.get_one(Account, key) for name, key in ids.items()}
        revoke_token(session, account=stored["eve"], token_id=key_of(made), by=None)
        revoke_sign_ins(session, account=stored["ada"], by=None)
        change_role(session, account=stored["ada"], role=Role.ANNOTATOR, by=None)
        change_project_role(
            session, account=stored["ada"], project=session.get_one(Project, project.id),
            role=None, by=None,
        )  # fmt: skip
        switch_off(session, account=stored["eve"], by=None)
        set_password(session, account=stored["pat"], new="another long one", by=None)
        stored["pat"].oidc_subject = None
        erase_person(session, account_id=ids["bob"], by=None, judgments="keep", texts=True)
        accept(session, code=offers[0][1], name="new", password="long enough 2")
        revoke_invitation(session, invitation_id=key_of(offers[1][0]), by=None)
    yield Scene(engine, tmp_path, ids, sign_in, secret, (offers[0][1], offers[1][1], offers[2][1]))


def test_nothing_that_was_taken_away_is_good_again(scene: Scene) -> None:
    found = scene.restore()
    assert found.closed == Closed(sign_ins=1, invitations=3, tokens=1)
    with reading(scene.engine) as session:
        assert account_of_token(session, token=scene.sign_in) is None
        assert account_of_secret(session, secret=scene.token) is None
        for code in scene.codes:
            with pytest.raises(NotFound):
                offered(session, code=code)
        events = session.exec(
            select(Event.kind, Event.detail).where(
                col(Event.kind).endswith(".revoked"), col(Event.audited)
            )
        ).all()
    assert [kind for kind, _ in events] == [
        "sign_in.revoked", *["invitation.revoked"] * 3, "access_token.revoked",
    ]  # fmt: skip
    assert events[0][1] == {"whose_id": scene.ids["ada"], "count": 1, "why": "restored"}
    assert events[-1][1] == {"token_id": 1, "whose_id": scene.ids["eve"], "why": "restored"}


def test_who_was_changed_since_is_told(scene: Scene, project: Project) -> None:
    found = scene.restore()
    assert found.changed == (
        BroughtBack(
            scene.ids["ada"], "ada", role="annotator", project_roles=((str(project.id), ""),)
        ),
        BroughtBack(scene.ids["bob"], "", erased=True),
        BroughtBack(scene.ids["eve"], "eve", switched_off=True),
        BroughtBack(scene.ids["pat"], "pat", password=True, single_sign_on=True),
    )
    # What is told is so: nobody does it by itself.
    assert scene.account("eve").active and scene.account("bob").name == "bob"
    assert scene.restore().changed == ()


def test_who_wants_them_keeps_the_ways_in(scene: Scene) -> None:
    found = scene.restore(keep_sign_ins=True)
    assert found.closed is None and found.changed is not None and len(found.changed) == 4
    with reading(scene.engine) as session:
        assert account_of_token(session, token=scene.sign_in) is not None
        assert account_of_secret(session, secret=scene.token) is not None
        assert offered(session, code=scene.codes[0]).role is Role.ANNOTATOR


def test_what_can_no_longer_be_read_is_compared_with_nothing(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    out, url = tmp_path / "b.tar", str(sqlite_engine.url)
    back_up(sqlite_engine, home=tmp_path, out=out, with_files=False, progress=quiet)
    sqlite_engine.dispose()
    file = Path(str(sqlite_engine.url.database))
    file.write_bytes(b"no database any more" * 1000)
    found = restore(out, url=url, home=tmp_path, replace=True, keep_sign_ins=False, progress=quiet)
    assert found.changed is None and found.closed == Closed(0, 0, 0)
    assert stored_accounts(sqlite_engine) == []


def test_another_installations_accounts_are_not_taken_for_the_same(
    scene: Scene, tmp_path: Path
) -> None:
    with writing(scene.engine) as session:
        # Same numbers, and of another making.
        for account in session.exec(select(Account)):
            account.created_at += timedelta(days=1)
            session.add(account)
    assert scene.restore().changed == ()


@pytest.mark.parametrize("revision", revisions()[:-1])
def test_a_backup_of_an_older_version_is_closed_too(empty_url: str, revision: str) -> None:
    with migrating(empty_url) as connection:
        command.upgrade(alembic_config(connection), revision)
    engine = build_engine(empty_url)
    at = {"now": now(), "later": now() + timedelta(hours=1)}
    with writing(engine) as session:
        session.execute(
            text(
                "INSERT INTO account (id, name, role, kind, active, created_at) "
                "VALUES (7, 'ada', 'lead', 'person', true, :now)"
                if revision < "0003"
                else "INSERT INTO account (id, name, role, kind, active, created_at, "
                "imported_from) VALUES (7, 'ada', 'lead', 'person', true, :now, '')"
            ),
            at,
        )
        session.execute(
            text(
                "INSERT INTO sign_in (token_sha256, account_id, created_at, expires_at) "
                "VALUES ('x', 7, :now, :later)"
            ),
            at,
        )
    found = stored_accounts(engine)
    assert found is not None and [(one.name, one.erased) for one in found] == [("ada", False)]
    assert close_ways_in(engine) == Closed(sign_ins=1, invitations=0, tokens=0)
    engine.dispose()
    upgrade(empty_url, backup=False)
    with reading(engine) as session:
        kinds = session.exec(select(Event.kind).order_by(col(Event.id))).all()
        assert "sign_in.revoked" in kinds
    engine.dispose()
