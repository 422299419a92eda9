"""Every event that the source records is in the audit log, or is daily work by decision."""

import ast
from pathlib import Path

from labeling.audit.kinds import AUDITED, is_audited, words_of

ROOT = Path(__file__).parents[3]
#: the record of daily work and of the loop, which no audit asks for
WORK = {
    "alarm.cleared", "alarm.raised", "demonstration.stored", "feedback.given", "guidelines.read",
    "judgment.by_model", "judgment.refused", "judgment.reopened", "judgment.stored",
    "policy.broken", "policy.created", "policy.endpoint_failed", "policy.published",
    "prompt.written", "qualification.begun", "qualification.decided", "review.decided",
    "review.discarded", "review.kept", "review.requeued", "review.restored", "review.returned",
    "review.withdrawn", "round.advanced", "round.opened", "task.added", "task.flagged",
    "task.leased", "task.released", "task.skipped", "task.to_review", "webhook.tested",
}  # fmt: skip


def recorded_kinds() -> set[str]:
    """Return each `subject.verb` that stands in a call of `record`, `_record…` or in a constant."""
    found = set()
    for room in ("labeling", "reward", "ui", "storage"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and "record" in ast.unparse(node.func):
                    arguments = [*node.args, *(one.value for one in node.keywords)]
                    found |= {
                        one.value
                        for one in arguments
                        if isinstance(one, ast.Constant)
                        and isinstance(one.value, str)
                        and one.value.count(".") == 1
                        and one.value.replace("_", "a").replace(".", "a").isalpha()
                    }
    return found


def test_every_kind_is_audited_or_daily_work() -> None:
    found = recorded_kinds()
    assert len(found) > 50
    assert found <= set(AUDITED) | WORK, "put it into labeling/audit/kinds.py or into WORK here"
    assert not set(AUDITED) & WORK


def test_words_are_there_for_every_kind() -> None:
    assert is_audited("sign_in.failed") and not is_audited("judgment.stored")
    assert all(words[0].isupper() and not words.endswith(".") for words in AUDITED.values())
    assert words_of("some_new.kind") == "some new kind"
