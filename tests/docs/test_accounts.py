"""docs/accounts.md names every command of `rankloop account`, and its settings are ones."""

import re
import tomllib
from pathlib import Path

import click

from storage.account_settings import AccountSettings, OidcSettings
from storage.tables import Role
from ui.cli.commands import cli

PAGE = (Path(__file__).parents[2] / "docs/accounts.md").read_text(encoding="utf-8")


def test_every_command_is_there() -> None:
    account = cli.commands["account"]
    assert isinstance(account, click.Group)
    assert {name for name in account.commands if f"`{name}" not in PAGE.replace(
        "rankloop account ", "")} == set()  # fmt: skip


def test_the_example_is_settings() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    found = OidcSettings.model_validate(tomllib.loads(text)["oidc"])
    assert found.roles == {"rlhf-leads": "lead", "rlhf-annotators": "annotator"}


def test_every_variable_is_a_setting_with_its_default() -> None:
    for name, default in re.findall(r"`RANKLOOP_ACCOUNTS__(\w+)` \((\d+)\)", PAGE):
        assert getattr(AccountSettings(), name.lower()) == float(default)
    named = set(re.findall(r"RANKLOOP_ACCOUNTS__(\w+)", PAGE))
    assert {name.lower() for name in named} <= set(AccountSettings.model_fields)


def test_every_role_is_told() -> None:
    assert all(re.search(rf"^\| {role} \| ", PAGE, re.MULTILINE) for role in Role)
