import pytest

from labeling.permissions import Action, allows, require
from storage.errors import NotAllowed
from storage.tables import Account, Role


def test_annotators_only_judge() -> None:
    annotator = Account(name="a", role=Role.ANNOTATOR)
    assert [action for action in Action if allows(annotator, action)] == [Action.JUDGE]


@pytest.mark.parametrize(
    ("role", "missing"),
    [
        (Role.LEAD, {Action.MANAGE_ACCOUNTS}),
        (Role.ENGINEER, {Action.MANAGE_ACCOUNTS, Action.WITHDRAW}),
    ],
)
def test_leads_and_engineers_do_all_but_accounts_and_engineers_withdraw_nothing(
    role: Role, missing: set[Action]
) -> None:
    account = Account(name="a", role=role)
    assert {action for action in Action if not allows(account, action)} == missing


def test_admins_do_everything() -> None:
    assert all(allows(Account(name="a", role=Role.ADMIN), action) for action in Action)


def test_refusal_names_role_and_action() -> None:
    with pytest.raises(NotAllowed, match="annotator may not start a training round"):
        require(Account(name="a", role=Role.ANNOTATOR), Action.REQUEST_ROUND)


def test_an_account_switched_off_may_nothing() -> None:
    admin = Account(name="a", role=Role.ADMIN, active=False)
    assert not any(allows(admin, action) for action in Action)
    with pytest.raises(NotAllowed, match="switched off"):
        require(admin, Action.JUDGE)


def test_an_imported_annotator_may_nothing() -> None:
    someone = Account(name="a", role=Role.ANNOTATOR, imported_from="pandalm")
    assert not any(allows(someone, action) for action in Action)
    with pytest.raises(NotAllowed, match="came with an import"):
        require(someone, Action.JUDGE)
