"""Each receiver has a key of its own, in a variable that is meant for it."""

from typing import Any

import pytest
from sqlmodel import select

from labeling.endpoint_policies import Endpoint, add_endpoint_policy
from labeling.webhooks.delivering import deliver_due
from labeling.webhooks.subscriptions import add_webhook, remove_webhook
from storage.engine import reading, writing
from storage.errors import BadInput, Conflict
from storage.settings import Settings
from storage.tables import Account, Project, Role, Webhook
from tests.labeling.stage import Stage
from tests.labeling.webhooks.receiver import SECRET, Receiver
from tests.labeling.webhooks.subscribing import deliveries, happen, types

MINE, OTHER = "https://example.org/mine", "https://example.org/other"


def add(stage: Stage, url: str = MINE, variable: str = "HOOK_MINE", **given: Any) -> int:
    with writing(stage.engine) as session:
        webhook = add_webhook(
            session, url=url, kinds=["alarm.raised"], secret_env=variable, private=False,
            **{"project": stage.project, "by": None, **given},
        )  # fmt: skip
        return webhook.id or 0


@pytest.mark.parametrize("variable", ["HOOK_SECRET", "WEBHOOK_1", "HOOK_ours", "HOOK_" + "x" * 95])
def test_a_variable_that_is_meant_for_it_is_taken(stage: Stage, variable: str) -> None:
    add(stage, variable=variable)
    with reading(stage.engine) as session:
        assert session.exec(select(Webhook.secret_env)).all() == [variable]


def test_no_setting_is_ever_a_key(stage: Stage) -> None:
    for name in Settings.model_fields:
        with pytest.raises(BadInput, match="HOOK_ or WEBHOOK_"):
            add(stage, variable=f"RANKLOOP_{name.upper()}")


@pytest.mark.parametrize(
    "variable",
    [
        "RANKLOOP_OIDC_SECRET", "RANKLOOP_JUDGE_API_KEY", "RANKLOOP_HOOK_X", "PATH",
        "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "SLACK_WEBHOOK_URL", "SECRET", "HOOK_", "hook_a",
        "HOOKS_A", "HOOK_A B", "HOOK_\x00", "HOOK_\u0430", "HOOK_A\n", "", "HOOK_" + "x" * 96,
        SECRET,
    ],
)  # fmt: skip
def test_any_other_variable_is_refused_and_the_field_named(stage: Stage, variable: str) -> None:
    with pytest.raises(BadInput, match=r"\(secret_env\): name an .* HOOK_ or WEBHOOK_"):
        add(stage, variable=variable)


def test_another_address_never_has_the_same_key(stage: Stage) -> None:
    first = add(stage)
    with writing(stage.engine) as session:
        other = Project(name="other")
        session.add(other)
    for project in (stage.project, other):
        with pytest.raises(Conflict, match=r"HOOK_MINE .* holds the key of another") as caught:
            add(stage, OTHER, project=project)
        assert MINE not in str(caught.value), "it may be in a project that is not theirs to see"
    add(stage, project=other)
    with writing(stage.engine) as session:
        session.get_one(Webhook, first).active = False
    with pytest.raises(Conflict):
        add(stage, OTHER)


def test_a_key_is_free_again_when_nobody_is_told_with_it(stage: Stage) -> None:
    first = add(stage)
    with writing(stage.engine) as session:
        remove_webhook(session, project=stage.project, by=None, webhook_id=first)
    add(stage, OTHER)


def test_the_key_of_a_server_is_no_webhooks(stage: Stage) -> None:
    with writing(stage.engine) as session:
        add_endpoint_policy(
            session, project_id=stage.project_id, name="server",
            endpoint=Endpoint(url="https://example.org/v1", model="m", key_env="HOOK_MINE"),
            by=Account(name="shell", role=Role.ADMIN),
        )  # fmt: skip
    with pytest.raises(Conflict, match="HOOK_MINE"):
        add(stage)


def test_webhooks_that_are_there_go_on_with_what_they_name(
    stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANY_NAME", SECRET)
    with writing(stage.engine) as session:
        for path in ("a", "b"):
            session.add(
                Webhook(
                    project_id=stage.project_id, url=f"{receiver.url}/{path}",
                    kinds=["alarm.raised"], secret_env="ANY_NAME",
                )
            )  # fmt: skip
    happen(stage, "alarm.raised")
    assert deliver_due(stage.engine, private=True) == 2
    assert types(receiver) == ["alarm.raised"] * 2
    assert all(one.delivered_at for one in deliveries(stage))
