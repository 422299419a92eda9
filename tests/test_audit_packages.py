from typing import Any

import pytest

from tests import audit_packages

BAD = {
    "name": "torch", "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0"]}],
}  # fmt: skip
GOOD = {"name": "numpy", "version": "2.0", "vulns": []}
UNKNOWN = {"name": "rankloop", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("found", "accepted", "code", "said"),
    [
        ([GOOD, GOOD], {}, 0, "2 packages looked up, 0 to mend"),
        ([GOOD, UNKNOWN], {}, 0, "1 packages looked up"),
        ([BAD, GOOD], {}, 1, "torch 1.0: PYSEC-1, mended in 2.0"),
        ([BAD, GOOD], {"CVE-1": "not called"}, 0, "1 accepted"),
        ([UNKNOWN, UNKNOWN, GOOD], {}, 0, "no package was looked up"),
        (None, {}, 0, "no package was looked up"),
    ],
)
def test_what_pip_audit_found_decides(
    found: list[dict[str, Any]] | None,
    accepted: dict[str, str],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(audit_packages, "audited", lambda: found)
    monkeypatch.setattr(audit_packages, "ACCEPTED", accepted)
    assert audit_packages.main([]) == code
    assert said in "".join(capsys.readouterr())


def test_a_release_needs_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_packages, "audited", lambda: None)
    assert audit_packages.main(["--required"]) == 1


def test_every_accepted_advisory_has_a_reason() -> None:
    assert all(len(reason) > 20 for reason in audit_packages.ACCEPTED.values())
