"""The report of a round: tables of rounds old and new."""

from typing import Any

from ui.plain_text import plain
from ui.rounds.round_report import POLICIES, checks_of, figures_of, people_on, wins_of
from ui.rounds.task_table import tasks_of

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


def test_what_was_taken_back_is_told_after_what_shut_the_gate() -> None:
    failed = {**OLD_CHECK, "passed": False, "meaning": "shut it"}
    undone = {**failed, "taken_back": True, "meaning": "was undone"}
    table = checks_of(_round(gate=[OLD_CHECK, undone, failed]))
    assert list(table.index) == ["shut it", "was undone", "nats"]
    assert list(table["Passed"]) == ["no", "taken back", "yes"]


def test_what_was_not_measured_is_said_and_stands_last() -> None:
    absent = {**OLD_CHECK, "figure": None, "meaning": "second"}
    table = checks_of(_round(gate=[absent, OLD_CHECK]))
    assert list(table["Figure"]) == ["7", "not measured"]
    assert list(table["Passed"]) == ["yes", "–"]


def test_a_figure_that_ran_away_is_told_from_one_that_was_not_measured() -> None:
    broken = {**OLD_CHECK, "figure": None, "passed": False}
    table = checks_of(_round(gate=[OLD_CHECK, broken]))
    assert list(table["Figure"]) == ["no finite number", "7"]
    assert list(table["Passed"]) == ["no", "yes"]


def test_people_are_said_over_the_first_policy_where_it_is_not_the_one_before() -> None:
    before, first = {"over": 3, "value": 0.6}, {"over": 1, "value": 0.7}
    asked = {"human_win_rate": before, "human_win_rate_over_first": first}
    assert people_on(asked) == [before, first]
    assert people_on({**asked, "human_win_rate": None}) == [first]
    assert people_on({**asked, "human_win_rate_over_first": None}) == [before]
    assert people_on({**asked, "human_win_rate": {"over": 1}}) == [{"over": 1}]
    assert people_on({"human_win_rate": None}) == [None]


SCORED = [
    {"task": "mmlu", "policy": "candidate", "part": False,
     "figures": {"acc": 0.4123, "acc_stderr": 0.0131, "sample_len": 1404}},
    {"task": "mmlu_anatomy", "policy": "candidate", "part": True, "figures": {"acc": 0.3}},
    {"task": "mmlu", "policy": "live", "part": False,
     "figures": {"acc": 0.4, "acc_stderr": 0.0129, "sample_len": 1404}},
    {"task": "gsm_8k", "policy": "live", "part": False,
     "figures": {"exact_match/strict": 0.1, "exact_match_stderr/strict": 0.02,
                 "perplexity": None}},
]  # fmt: skip


def test_tasks_have_a_row_a_metric_with_its_standard_error() -> None:
    table = tasks_of(_round(tasks=SCORED), POLICIES, parts=False)
    assert list(table.index) == [
        plain("mmlu: acc"),
        plain("gsm_8k: exact_match/strict"),
        plain("gsm_8k: perplexity"),
    ]
    assert list(table.columns) == ["Documents", plain("This round's"), "The one before"]
    assert list(table["Documents"]) == ["1,404", "–", "–"]
    assert list(table[plain("This round's")]) == [plain("0.412 ± 0.013"), "–", "–"]
    assert list(table["The one before"]) == [plain("0.400 ± 0.013"), plain("0.100 ± 0.020"), "–"]


def test_the_parts_of_a_group_stand_apart() -> None:
    table = tasks_of(_round(tasks=SCORED), POLICIES, parts=True)
    assert list(table.index) == [plain("mmlu_anatomy: acc")]
    assert list(table[plain("This round's")]) == [plain("0.300")]
    assert tasks_of(_round(), POLICIES, parts=False).empty


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
