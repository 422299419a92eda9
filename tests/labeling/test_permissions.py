import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.permissions import (
    IN_NO_PROJECT,
    PERMITTED,
    Action,
    allows,
    narrowed_to,
    require,
    role_in,
    role_of,
    roles_that_may,
)
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import NotAllowed
from storage.tables import Account, Role

HERE, ELSEWHERE = 7, 8


def _may(account: Account, action: Action, project_id: int | None = HERE) -> bool:
    return allows(account, action, project_id=project_id)


def test_annotators_only_judge() -> None:
    annotator = Account(name="a", role=Role.ANNOTATOR)
    assert [action for action in Action if _may(annotator, action)] == [Action.JUDGE]


@pytest.mark.parametrize(
    ("role", "missing"),
    [
        (Role.LEAD, {Action.MANAGE_ACCOUNTS, Action.SEE_AUDIT}),
        (
            Role.ENGINEER,
            {Action.MANAGE_ACCOUNTS, Action.SEE_AUDIT, Action.WITHDRAW, Action.INVITE},
        ),
    ],
)
def test_leads_and_engineers_do_all_of_a_project_and_engineers_neither_withdraw_nor_invite(
    role: Role, missing: set[Action]
) -> None:
    account = Account(name="a", role=role)
    assert {action for action in Action if not _may(account, action)} == missing


def test_admins_do_everything() -> None:
    assert all(_may(Account(name="a", role=Role.ADMIN), action) for action in Action)


def test_refusal_names_role_and_action() -> None:
    with pytest.raises(NotAllowed, match="annotator may not start a training round"):
        require(Account(name="a", role=Role.ANNOTATOR), Action.REQUEST_ROUND, project_id=HERE)


def test_an_account_switched_off_may_nothing() -> None:
    admin = Account(name="a", role=Role.ADMIN, active=False)
    assert not any(_may(admin, action) for action in Action)
    with pytest.raises(NotAllowed, match="switched off"):
        require(admin, Action.JUDGE, project_id=HERE)


def test_an_erased_account_may_nothing() -> None:
    admin = Account(name="a", role=Role.ADMIN, erased_at=now())
    assert not any(_may(admin, action) for action in Action)
    with pytest.raises(NotAllowed, match="was erased"):
        require(admin, Action.JUDGE, project_id=HERE)


def test_an_imported_annotator_may_nothing() -> None:
    someone = Account(name="a", role=Role.ANNOTATOR, imported_from="pandalm")
    assert not any(_may(someone, action) for action in Action)
    with pytest.raises(NotAllowed, match="came with an import"):
        require(someone, Action.JUDGE, project_id=HERE)


def test_a_project_names_a_role_that_holds_there_alone() -> None:
    account = Account(name="a", role=Role.ANNOTATOR, project_roles={str(HERE): "lead"})
    assert _may(account, Action.REVIEW)
    assert not _may(account, Action.REVIEW, ELSEWHERE)
    assert role_of(account, ELSEWHERE) is role_of(account, None) is Role.ANNOTATOR


@pytest.mark.parametrize("named", ["", "a role of a newer version"])
def test_without_business_in_a_project_nothing_may_be_done_there(named: str) -> None:
    lead = Account(name="ada", role=Role.LEAD, project_roles={str(HERE): named})
    assert not any(_may(lead, action) for action in Action)
    assert _may(lead, Action.REVIEW, ELSEWHERE)
    with pytest.raises(NotAllowed, match="ada has no business in this project"):
        require(lead, Action.JUDGE, project_id=HERE)


def test_what_belongs_to_no_project_is_the_accounts_own_role_to_decide() -> None:
    admin_here = Account(name="a", role=Role.LEAD, project_roles={str(HERE): "admin"})
    lead_here = Account(name="b", role=Role.ADMIN, project_roles={str(HERE): ""})
    for action in IN_NO_PROJECT:
        assert not _may(admin_here, action)
        assert _may(lead_here, action)
        assert _may(lead_here, action, None)


@pytest.mark.parametrize("action", sorted(set(Action) - IN_NO_PROJECT))
def test_an_action_of_a_project_is_never_asked_without_one(action: Action) -> None:
    with pytest.raises(ValueError, match="belongs to a project"):
        require(Account(name="a", role=Role.ADMIN), action, project_id=None)


def test_a_token_narrows_what_its_account_may_and_never_widens_it() -> None:
    lead = Account(name="a", role=Role.LEAD)
    with narrowed_to(["export", "manage_accounts"]):
        assert [action for action in Action if _may(lead, action)] == [Action.EXPORT]
        with pytest.raises(NotAllowed, match="This access token may not review judgments"):
            require(lead, Action.REVIEW, project_id=HERE)
        with narrowed_to([]):
            assert not _may(lead, Action.REVIEW)
    assert _may(lead, Action.REVIEW)


def test_the_database_tells_the_same_roles(engine: Engine) -> None:
    given: list[dict[str, str]] = [{}, {"7": "lead"}, {"7": ""}, {"8": "lead"}, {"77": "admin"}]
    with writing(engine) as session:
        for number, roles in enumerate(given):
            session.add(Account(name=str(number), role=Role.ANNOTATOR, project_roles=roles))
    with reading(engine) as session:
        found = session.exec(select(Account, role_in(HERE))).all()
        judges = session.exec(
            select(Account).where(role_in(HERE).in_(roles_that_may(Action.JUDGE)))
        ).all()
    assert len(found) == len(given)
    for account, told in found:
        assert told == (role_of(account, HERE) or "")
    assert {one.name for one in judges} == {"0", "1", "3", "4"}


def test_roles_that_may_follow_the_table() -> None:
    for action in Action:
        assert set(roles_that_may(action)) == {
            role for role, permitted in PERMITTED.items() if action in permitted
        }
