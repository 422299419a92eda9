"""What the documents say of roles, the audit log and privacy is so."""

from pathlib import Path

from labeling.permissions import role_table
from storage.privacy_settings import PrivacySettings

DOCS = Path(__file__).parents[2] / "docs"


def test_the_role_table_is_the_one_in_force() -> None:
    assert "\n".join(role_table()) in (DOCS / "operations.md").read_text(encoding="utf-8")


def test_every_setting_of_privacy_is_told() -> None:
    text = (DOCS / "privacy.md").read_text(encoding="utf-8")
    for name in PrivacySettings.model_fields:
        assert f"RANKLOOP_PRIVACY__{name.upper()}" in text and f"`{name}`" in text
