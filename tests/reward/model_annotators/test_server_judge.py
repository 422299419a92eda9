"""What a judge behind a server is asked about texts that talk to it."""

import re

import pytest

from reward.model_annotators.server_judge import question
from tests.hostile_texts import STORABLE, HostileText


@pytest.mark.parametrize("one", STORABLE, ids=lambda one: one.name)
def test_no_hostile_text_pretends_to_be_a_part_of_the_question(one: HostileText) -> None:
    asked = question("Be fair.", one.text, one.text, "harmless")
    fence = asked.splitlines()[2].removeprefix("Each stands between two lines of ").rstrip(".")
    assert asked.count(f"\n{fence}\n") == 6 and fence not in one.text
    assert not re.search(r"<\|[^\n]*\|>|<｜|</?s>|\[/?INST\]|<(start|end)_of_turn>", asked)
    assert asked == question("Be fair.", one.text, one.text, "harmless")
