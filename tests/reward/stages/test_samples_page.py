"""The page of completions side by side: what a model wrote stays within its fences."""

from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from reward.stages.samples_page import samples_page, write_samples
from storage.errors import Conflict, Unavailable

NASTY = "```\n# Not a heading\n``````` \n<script>x</script>\n~~~"


def _row(name: str, policy: float | None, against: float | None) -> dict[str, Any]:
    row = {"prompt": f"prompt of {name}", "policy": f"ours of {name}", "against": NASTY}
    return {**row, "policy_reward": policy, "against_reward": against}


def _report(**more: Any) -> dict[str, Any]:
    return {
        "policy": "my`policy",
        "against": "base",
        "reward": "reward",
        "win_rate": 0.5,
        "win_rate_ci": [0.25, 0.75],
        "best_samples": [_row("best", 2.0, 0.5)],
        "worst_samples": [_row("worst", -1.0, 0.5)],
        "samples": [_row("other", 0.5, None)],
        **more,
    }


def _parts(page: str, kind: str) -> list[str]:
    tokens = MarkdownIt().parse(page)
    if kind == "fence":
        return [token.content for token in tokens if token.type == "fence"]
    return [
        tokens[place + 1].content
        for place, token in enumerate(tokens)
        if token.type == "heading_open"
    ]


def test_the_page_has_the_best_the_worst_and_others_in_this_order() -> None:
    page = samples_page(_report())
    assert _parts(page, "heading") == [
        "Completions side by side",
        *("Best: where the policy gained most (1)", "1. Gain +1.500"),
        *("Worst: where the policy lost most (1)", "1. Gain -1.500"),
        *("Others (1)", "1. Not scored"),
    ]
    assert "Policy, score 2.000:" in page and "Against, score 0.500:" in page
    assert "- win rate: 0.500 [0.250, 0.750]" in page
    assert "- policy: `` my`policy ``" in page


def test_nothing_that_a_model_wrote_leaves_its_fence() -> None:
    page = samples_page(_report())
    assert _parts(page, "fence")[:3] == ["prompt of best\n", "ours of best\n", f"{NASTY}\n"]
    assert len(_parts(page, "fence")) == 9
    shown = samples_page(_report(samples=[{**_row("o", 1.0, 1.0), "policy": "\x1b[31m\u202ered"}]))
    assert "\x1b" not in shown and r"\x1b[31m\u202ered" in shown


def test_without_a_reward_model_there_are_others_alone() -> None:
    rows = [{"prompt": "p", "policy": "a", "against": "b"}]
    page = samples_page(
        _report(reward=None, win_rate=None, best_samples=[], worst_samples=[], samples=rows)
    )
    assert _parts(page, "heading") == ["Completions side by side", "Others (1)", "1. Not scored"]
    assert "- reward model: none" in page


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text("mine")
    with pytest.raises(Conflict, match="name a new file"):
        write_samples(file, _report())
    assert file.read_text() == "mine"
    with pytest.raises(Unavailable, match="There is no folder"):
        write_samples(tmp_path / "none" / "page.md", _report())
    write_samples(tmp_path / "page.md", _report())
    assert (tmp_path / "page.md").read_text() == samples_page(_report())
