"""What a round measured: why it was published or not, its figures, and its samples side by side."""

from collections.abc import Iterable
from typing import Any

import pandas
import streamlit as st

from ui.plain_text import plain
from ui.rounds import task_table
from ui.rounds.policy_table import win_words
from ui.rounds.round_table import ENDED

VERDICTS = {
    "done": "why it was published",
    "rejected": "why it was not published",
    "failed": "why it failed",
}
# How rounds from before checks said it themselves compared a figure with its bound.
RELATIONS = {
    "reward_accuracy": "above",
    "win_rate": "above",
    "kl": "at most",
    "length_ratio_high": "at most",
    "identical": "at most",
}
POLICIES = {
    "candidate": "This round's",
    "live": "The one before",
    "first": "The first",
    "few_shot": "Untuned, shown examples",
}
JUDGES = {"reward_model": "Reward model", "second_reward_model": "Second reward model"}
# Figures of a policy in the order shown; those with a % are shares.
FIGURES = {
    "score_by_reward_model": ("Score by the reward model", ".2f"),
    "score_by_second_reward_model": ("Score by the second reward model", ".2f"),
    "kl": ("Nats from the reference (k1)", ".1f"),
    "kl_k3": ("Nats from the reference (k3)", ".1f"),
    "tokens": ("Tokens a completion", ".0f"),
    "ended": ("Ended by themselves", ".0%"),
    "repetition": ("Repeat themselves", ".0%"),
    "refusals": ("Refuse to answer", ".0%"),
    "identical": ("Share of the most common answer", ".0%"),
    "distinct_1": ("Distinct words (distinct-1)", ".2f"),
    "distinct_2": ("Distinct pairs (distinct-2)", ".2f"),
    "distinct_3": ("Distinct triples (distinct-3)", ".2f"),
    "perplexity": ("Perplexity on held-out text", ".1f"),
    "rouge1": ("ROUGE-1 with demonstrations", ".2f"),
    "rouge2": ("ROUGE-2 with demonstrations", ".2f"),
    "rouge_l": ("ROUGE-L with demonstrations", ".2f"),
    "bleu": ("BLEU with demonstrations", ".1f"),
    "chrf": ("chrF with demonstrations", ".1f"),
}
SAMPLES = {
    "best_samples": "Gained most by the reward model ({})",
    "worst_samples": "Lost most by the reward model ({})",
    "samples": "Held-out prompts answered by both policies ({})",
}
NOT_MEASURED = "not measured"
NOT_FINITE = "no finite number"
LATEST = 0


def choose(rounds: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the round to report: the latest that ended, or another that is asked for."""
    ended = {one["number"]: one for one in reversed(rounds) if one["state"] in ENDED}
    if len(ended) < 2:
        return next(iter(ended.values()), None)
    latest = max(ended)
    # A choice of its own: it moves on when another round ends.
    number = st.selectbox(
        "Report of round",
        [LATEST, *(each for each in ended if each != latest)],
        format_func=lambda each: f"{latest} (the latest)" if each == LATEST else str(each),
        key="reported_round",
        width=240,
    )
    return ended.get(number, ended[latest])


def checks_of(one: dict[str, Any]) -> pandas.DataFrame:
    """Return one row a check of the gate, named by what it measures, those that failed first.

    The words are Markdown; the table is empty before any check was made.
    """
    rows = [
        {
            "Measured": plain(check["meaning"]),
            "Figure": _figure(check),
            "Wanted": f"{_relation(check)} {check['bound']:g}",
            "Passed": _passed(check),
        }
        for check in sorted(one["metrics"].get("gate", []), key=_alarm_first)
    ]
    table = pandas.DataFrame(rows, columns=["Measured", "Figure", "Wanted", "Passed"])
    return table.set_index("Measured")


def wins_of(one: dict[str, Any]) -> pandas.DataFrame:
    """Return the win rates with their intervals, one row a policy and one column a judge."""
    rows: dict[str, dict[str, str]] = {}
    for found in one["metrics"].get("comparisons", []):
        against = _name(POLICIES, found["against"])
        rows.setdefault(against, {"Prompts": str(found["prompts"])})
        win = {"value": found["win_rate"], "low": found["low"], "high": found["high"]}
        rows[against][_name(JUDGES, found["judge"])] = figure_words(win, ".0%")
    table = pandas.DataFrame.from_dict(rows, orient="index").fillna("–")
    table.index.name = "Wins over"
    return table


def figures_of(one: dict[str, Any]) -> pandas.DataFrame:
    """Return one row a figure and one column a policy, with intervals where there are any."""
    policies = one["metrics"].get("policies", [])
    rows = {
        title: [figure_words(policy.get(name), form) for policy in policies]
        for name, (title, form) in FIGURES.items()
        if any(name in policy for policy in policies)
    }
    columns = [_name(POLICIES, policy["policy"]) for policy in policies]
    table = pandas.DataFrame.from_dict(rows, orient="index", columns=columns)
    table.index.name = "Figure"
    return table


def figure_words(found: Any, form: str) -> str:
    """Return a figure with its interval where it has one, as Markdown; a dash for none."""
    if found is None:
        return "–"
    if not isinstance(found, dict):
        return plain(format(found, form))
    value, low, high = (format(found[part], form) for part in ("value", "low", "high"))
    return plain(f"{value} [{low.removesuffix('%')}, {high.removesuffix('%')}]")


def show(one: dict[str, Any], *, versions: bool) -> None:
    """Draw the report of one ended round; `versions` for those who may know whose text is whose."""
    st.subheader(f"Round {one['number']}: {VERDICTS[one['state']]}")
    if one["state"] != "done" and versions:
        st.text(one["reason"])
    if versions and one["policy_version"] is not None:
        for rate in people_on(one):
            st.text(f"People: version {one['policy_version']} {win_words(rate)}.")
    # Unlike a data frame, a table breaks lines, so that a phone shows every column.
    _table(checks_of(one))
    if any(_not_measured(check) for check in one["metrics"].get("gate", [])):
        st.caption("What was not measured stops no version.")
    wins = wins_of(one)
    if not wins.empty:
        st.caption("How often its completions score higher, with 95 % intervals over prompts")
        _table(wins)
    task_table.show(one, POLICIES, versions=versions)
    figures = figures_of(one)
    if not figures.empty:
        with st.expander("All figures on held-out prompts"):
            _table(figures)
    for name, title in SAMPLES.items() if versions else ():
        if texts := one["metrics"].get(name, []):
            with st.expander(title.format(len(texts))):
                for sample in texts:
                    _sample(sample)


def people_on(one: dict[str, Any]) -> list[dict[str, Any] | None]:
    """Return people's win rates of a round's version: over the one before, and over the first.

    None alone where nobody compared it with either; one rate where the one before is the first.
    """
    before, first = one["human_win_rate"], one.get("human_win_rate_over_first")
    if before is None or first is None:
        return [before or first]
    return [before] if before["over"] == first["over"] else [before, first]


def _table(table: pandas.DataFrame) -> None:
    if not table.empty:
        st.table(table)


def _relation(check: dict[str, Any]) -> str:
    return str(check.get("direction") or RELATIONS.get(check["name"], "at least"))


def _figure(check: dict[str, Any]) -> str:
    if check["figure"] is None:
        return NOT_MEASURED if check["passed"] else NOT_FINITE
    return f"{check['figure']:.3g}"


def _not_measured(check: dict[str, Any]) -> bool:
    return check["figure"] is None and bool(check["passed"])


def _passed(check: dict[str, Any]) -> str:
    if _not_measured(check):
        return "–"
    if check["passed"]:
        return "yes"
    return "taken back" if check.get("taken_back") else "no"


def _alarm_first(check: dict[str, Any]) -> tuple[bool, bool, bool]:
    return check["passed"], bool(check.get("taken_back")), check["figure"] is None


def _name(names: dict[str, str], name: str) -> str:
    return plain(names.get(name, name))


def _sample(sample: dict[str, Any]) -> None:
    """Draw a prompt and two answers as text: Markdown would fetch what a model names."""
    with st.container(border=True):
        st.caption("Prompt")
        st.text(sample["prompt"])
        places: Iterable[tuple[str, str]] = (
            ("candidate", "This round's policy"),
            ("live", "The policy before"),
        )
        for column, (name, title) in zip(st.columns(2), places, strict=True):
            score = sample.get(f"{name}_reward")
            column.caption(title if score is None else f"{title}, score {plain(f'{score:.2f}')}")
            column.text(sample[name])
