"""The report of a round: tables of rounds old and new."""

from typing import Any

from ui.plain_text import plain
from ui.rounds.round_report import checks_of, figures_of, wins_of

OLD_CHECK = {"name": "kl", "figure": 7.0, "bound": 40.0, "passed": True, "meaning": "nats"}


def _round(**metrics: Any) -> dict[str, Any]:
    return {"metrics": metrics}


def test_a_check_says_its_own_direction_and_old_ones_are_known_by_name() -> None:
    new = {
        "name": "anything",
        "figure": 0.2,
        "bound": 0.1,
        "passed": False,
        "meaning": "m",
        "direction": "at most",
    }
    table = checks_of(_round(gate=[OLD_CHECK, new]))
    assert list(table["Wanted"]) == ["at most 0.1", "at most 40"]
    assert list(table["Passed"]) == ["no", "yes"]


def test_what_was_not_measured_is_said_and_stands_last() -> None:
    absent = {**OLD_CHECK, "figure": None, "meaning": "second"}
    table = checks_of(_round(gate=[absent, OLD_CHECK]))
    assert list(table["Figure"]) == ["7", "not measured"]
    assert list(table["Passed"]) == ["yes", "–"]


def test_win_rates_have_a_row_a_policy_and_a_column_a_judge() -> None:
    win = {"win_rate": 0.66, "low": 0.58, "high": 0.742, "prompts": 48}
    found = [
        {"against": "live", "judge": "reward_model", **win},
        {"against": "live", "judge": "second_reward_model", **win},
        {"against": "first", "judge": "reward_model", **win, "prompts": 24},
    ]
    table = wins_of(_round(comparisons=found))
    assert list(table.index) == ["The one before", "The first"]
    assert list(table["Prompts"]) == ["48", "24"]
    assert table["Reward model"].iloc[0] == plain("66% [58, 74]")
    assert list(table["Second reward model"])[1] == "–"


def test_figures_show_intervals_and_leave_out_what_no_policy_has() -> None:
    tokens = {"value": 40.4, "low": 38.0, "high": 43.0}
    found = [
        {"policy": "candidate", "tokens": tokens, "perplexity": 21.34},
        {"policy": "few_shot", "tokens": tokens},
    ]
    table = figures_of(_round(policies=found))
    assert list(table.index) == ["Tokens a completion", "Perplexity on held-out text"]
    assert list(table.columns) == [plain("This round's"), plain("Untuned, shown examples")]
    assert list(table.iloc[0]) == [plain("40 [38, 43]")] * 2
    assert list(table.iloc[1]) == [plain("21.3"), "–"]


def test_a_round_without_figures_has_empty_tables() -> None:
    assert checks_of(_round()).empty
    assert wins_of(_round()).empty
    assert figures_of(_round()).empty
