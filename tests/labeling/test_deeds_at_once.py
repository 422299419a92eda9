"""Two do the same, or what excludes it, at the same moment: on PostgreSQL, in two threads."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, select

from labeling.accounts import authenticate
from labeling.datasets.freezing import frozen
from labeling.datasets.snapshot_query import SnapshotQuery
from labeling.datasets.snapshots import _stored
from labeling.judging.judgments import submit_judgment
from labeling.labeling_settings import labeling_settings
from labeling.people.access_tokens import make_token
from labeling.people.identities import Identity, link_identity
from labeling.people.invitations import accept, invite, revoke_invitation
from labeling.people.own_password import WrongPassword, change_password, set_password
from labeling.people.roles import switch_off
from labeling.people.sign_ins import open_sign_in
from labeling.privacy.erasure import erase_person
from labeling.quality_control.qualification import reset_qualification, wave_through
from labeling.webhooks.deliveries import claim, settle
from labeling.webhooks.outbox import put_in
from labeling.webhooks.sending import Answer
from labeling.webhooks.subscriptions import add_webhook, remove_webhook, send_test
from labeling.withdrawals.scope import Scope
from labeling.withdrawals.withdrawing import withdraw
from storage.account_settings import OidcSettings
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import Conflict, NotAllowed, NotFound
from storage.tables import (
    AccessToken,
    Account,
    Project,
    Qualification,
    Role,
    SignIn,
    Snapshot,
    Task,
    TaskStatus,
    Webhook,
)
from tests.labeling.stage import Stage, set_stage

Deed = Callable[[Session], object]
_LEASE = timedelta(minutes=3)


@pytest.fixture
def engine(postgres_engine: Engine) -> Engine:
    return postgres_engine


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    stage = set_stage(engine, project, overlap=2)
    stage.add_task("one")
    return stage


def at_once(engine: Engine, first: Deed, second: Deed) -> list[type]:
    """Do `second` while `first` is done and not yet committed; return what `second` raised."""
    raised: list[type] = []

    def other() -> None:
        try:
            with writing(engine) as session:
                second(session)
        except Exception as error:
            raised.append(type(error))

    thread = Thread(target=other)
    with writing(engine) as session:
        first(session)
        session.flush()
        thread.start()
        # It either waits for this transaction, or has looked past it by then.
        thread.join(0.5)
    thread.join(20)
    assert not thread.is_alive()
    return raised


def add(session: Session, stage: Stage) -> Webhook:
    return add_webhook(
        session, project=stage.project, by=None, url="https://example.org/hook",
        kinds=["judgment.stored"], secret_env="HOOK_SECRET", private=False,
    )  # fmt: skip


def test_of_two_addresses_one_has_the_variable(stage: Stage) -> None:
    other = partial(
        add_webhook, project=stage.project, by=None, url="https://example.org/other",
        kinds=["judgment.stored"], secret_env="HOOK_SECRET", private=False,
    )  # fmt: skip
    assert at_once(stage.engine, partial(add, stage=stage), other) == [Conflict]


def added(stage: Stage) -> int:
    with writing(stage.engine) as session:
        return add(session, stage).id or 0


def removed(stage: Stage, webhook_id: int) -> Deed:
    return partial(remove_webhook, project=stage.project, by=None, webhook_id=webhook_id)


def test_of_two_webhooks_to_one_address_one_is_a_conflict(stage: Stage) -> None:
    deed = partial(add, stage=stage)
    assert at_once(stage.engine, deed, deed) == [Conflict]


def test_a_webhook_is_removed_while_its_deliveries_are_made(stage: Stage) -> None:
    webhook_id = added(stage)
    stage.judge("ann", [1, 2, 3, 4])
    making = partial(put_in, webhook_id=webhook_id)
    assert at_once(stage.engine, making, removed(stage, webhook_id)) == []
    with reading(stage.engine) as session:
        assert session.exec(select(Webhook)).all() == []


def test_a_webhook_is_removed_once_and_tested_no_more(stage: Stage) -> None:
    webhook_id = added(stage)
    removal = removed(stage, webhook_id)

    def test(_: Session) -> None:
        send_test(
            stage.engine, project=stage.project, by=None, webhook_id=webhook_id, private=False
        )

    assert at_once(stage.engine, removal, test) == [NotFound]
    other = added(stage)
    assert at_once(stage.engine, removed(stage, other), removed(stage, other)) == [NotFound]


def test_a_receiver_that_is_gone_and_a_lead_switch_it_off_together(stage: Stage) -> None:
    webhook_id = added(stage)
    stage.judge("ann", [1, 2, 3, 4])
    with writing(stage.engine) as session:
        put_in(session, webhook_id=webhook_id)
    with writing(stage.engine) as session:
        (one,) = claim(session, most=1, lease=_LEASE)

    def gone(session: Session) -> None:
        settings = labeling_settings(session.get_one(Project, stage.project_id)).webhooks
        settle(session, claim=one, answer=Answer(410), settings=settings)

    assert at_once(stage.engine, gone, removed(stage, webhook_id)) == []


@pytest.mark.parametrize("deed", [reset_qualification, wave_through])
def test_two_leads_decide_on_one_qualification(stage: Stage, deed: Callable[..., None]) -> None:
    lena, ann = stage.account("lena", Role.LEAD), stage.account("ann")
    here = stage.project_id
    with writing(stage.engine) as session:
        session.add(Qualification(project_id=here, account_id=ann, attempt=1, passed=False))

    def decide(session: Session) -> None:
        by, project = session.get_one(Account, lena), session.get_one(Project, here)
        deed(session, project=project, account_id=ann, by=by)

    assert at_once(stage.engine, decide, decide) == []
    with reading(stage.engine) as session:
        attempts = session.exec(select(Qualification.attempt)).all()
    assert sorted(attempts) == [1, 2]


def test_a_link_that_was_just_used_is_not_taken_back(stage: Stage) -> None:
    with writing(stage.engine) as session:
        row, code = invite(session, role=Role.ANNOTATOR, hours=1, by=None)
    used = partial(accept, code=code, name="eve", password=None)
    back = partial(revoke_invitation, invitation_id=row.id or 0, by=None)
    assert at_once(stage.engine, used, back) == [NotFound]


@pytest.mark.parametrize(("name", "raised"), [("nightly", [Conflict]), ("", [])])
def test_of_two_snapshots_of_one_name_or_of_the_same_there_is_one(
    stage: Stage, tmp_path: Path, name: str, raised: list[type]
) -> None:
    stage.judge("ann", [1, 2, 3, 4])
    query, folder = SnapshotQuery(), tmp_path / "snapshots"
    project = stage.project

    def stored(session: Session) -> None:
        with frozen(
            session, project=project, query=query, folder=folder, code_version="1"
        ) as ready:
            _stored(session, ready, project, folder, None, name)

    assert at_once(stage.engine, stored, stored) == raised
    with reading(stage.engine) as session:
        assert session.exec(select(Snapshot.name)).all() == [name]


@pytest.mark.parametrize("end", ["a new password", "switched off", "erased"])
@pytest.mark.parametrize("signed_in_first", [True, False])
def test_no_sign_in_slips_by_what_closes_them(
    stage: Stage, end: str, signed_in_first: bool
) -> None:
    ann = stage.account("ann")

    def ended(session: Session) -> None:
        account = session.get_one(Account, ann)
        if end == "erased":
            erase_person(session, account_id=ann, by=None, judgments="keep", texts=True)
        elif end == "switched off":
            switch_off(session, account=account, by=None)
        else:
            set_password(session, account=account, new="correct horse battery", by=None)

    deeds: list[Deed] = [partial(open_sign_in, account_id=ann, hours=1), ended]
    first, second = deeds if signed_in_first else reversed(deeds)
    after = end == "a new password" and not signed_in_first
    refused = [] if signed_in_first or after else [NotFound]
    assert at_once(stage.engine, first, second) == refused
    with reading(stage.engine) as session:
        left = session.exec(select(SignIn)).all()
    assert len([one for one in left if one.revoked_at is None]) == after
    assert end != "erased" or not left


def test_a_password_that_was_changed_after_it_was_compared_opens_nothing(stage: Stage) -> None:
    ann = stage.account("ann")
    with writing(stage.engine) as session:
        account = session.get_one(Account, ann)
        set_password(session, account=account, new="correct horse battery", by=None)
    with reading(stage.engine) as session:
        known = authenticate(session, name="ann", password="correct horse battery")

    def changed(session: Session) -> None:
        account = session.get_one(Account, ann)
        set_password(session, account=account, new="another horse battery", by=None)

    opened = partial(open_sign_in, account_id=ann, hours=1, password_hash=known.password_hash)
    assert at_once(stage.engine, changed, opened) == [NotAllowed]
    with reading(stage.engine) as session:
        assert session.exec(select(SignIn)).all() == []


def test_of_two_who_change_one_password_the_second_is_told(stage: Stage) -> None:
    ann = stage.account("ann")
    with writing(stage.engine) as session:
        account = session.get_one(Account, ann)
        set_password(session, account=account, new="correct horse battery", by=None)

    def to(new: str) -> Deed:
        def changed(session: Session) -> None:
            account = session.get_one(Account, ann)
            change_password(
                session, account=account, old="correct horse battery", new=new, token=None
            )

        return changed

    first, second = to("the first horse battery"), to("the second horse battery")
    assert at_once(stage.engine, first, second) == [WrongPassword]
    with reading(stage.engine) as session:
        assert authenticate(session, name="ann", password="the first horse battery").id == ann


def test_no_token_slips_by_an_erasure(stage: Stage) -> None:
    ann = stage.account("ann")

    def made(session: Session) -> None:
        account = session.get_one(Account, ann)
        make_token(session, account=account, name="ann's", days=1, longest=2, by=None)

    def erased(session: Session) -> None:
        erase_person(session, account_id=ann, by=None, judgments="keep", texts=True)

    assert at_once(stage.engine, erased, made) == [NotAllowed]
    with reading(stage.engine) as session:
        assert session.exec(select(AccessToken)).all() == []


def test_one_person_is_linked_to_one_account(stage: Stage) -> None:
    ada = Identity(key="issuer#1", name="ada", email="", email_verified=False, groups=())

    def linked(name: str) -> Deed:
        key = stage.account(name)
        return lambda session: link_identity(
            session, account=session.get_one(Account, key), identity=ada, settings=OidcSettings()
        )

    assert at_once(stage.engine, linked("ann"), linked("bob")) == [Conflict]


def taken_out(stage: Stage, scope: Scope) -> Deed:
    return lambda session: withdraw(
        session,
        project=session.get_one(Project, stage.project_id),
        by=None,
        scope=scope,
        reason="guessed",
    )


def test_the_same_is_withdrawn_once(stage: Stage) -> None:
    for scope in (Scope(annotator_id=stage.account("ann")), Scope(until=now())):
        deed = taken_out(stage, scope)
        assert at_once(stage.engine, deed, deed) == [Conflict]


@pytest.mark.parametrize("judged_first", [True, False])
def test_a_submit_and_the_withdrawal_of_its_annotator_see_each_other(
    stage: Stage, judged_first: bool
) -> None:
    lent, ann = stage.lend("ann"), stage.account("ann")
    deeds: list[Deed] = [
        lambda session: submit_judgment(
            session,
            assignment_id=lent.assignment_id,
            annotator_id=ann,
            ranks=[1, 2, 3, 4],
            milliseconds=10,
            nonce="n",
        ),
        taken_out(stage, Scope(annotator_id=ann)),
    ]
    first, second = deeds if judged_first else reversed(deeds)
    assert at_once(stage.engine, first, second) == []
    with reading(stage.engine) as session:
        task = session.get_one(Task, lent.task_id)
    assert (task.status, task.judged) == (TaskStatus.READY, 0)
