"""What wants a lead, and what does not: each bound from both sides."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from labeling.alarms import Alarm, alarms
from labeling.labeling_sections import AlarmSettings
from labeling.work_queue.freshness import Staleness
from tests.labeling.loops import a_loop, a_policy, a_round

NOBODY = pd.DataFrame({"name": [], "judgments": [], "gold": [], "gold_tasks": [], "fast": []})


def found(settings: AlarmSettings | None = None, **changed: Any) -> list[Alarm]:
    values = {"loop": a_loop(), "worker_runs": True, "alpha": 0.5, "reliable": NOBODY} | changed
    return alarms(settings or AlarmSettings(), **values)


def annotator(**values: Any) -> pd.DataFrame:
    usual = {"name": "ann", "judgments": 20, "gold": 0.9, "gold_tasks": 20, "fast": 0.0}
    return pd.DataFrame([usual | values])


def pool(**values: Any) -> Any:
    return a_loop(pool=replace(a_loop().pool, **values))


def rated(low: float, high: float) -> Any:
    rate = {"over": 1, "version": 2, "low": low, "high": high}
    return a_loop(policies=[a_policy(1), a_policy(2, "live", human_win_rate=rate)])


def test_where_nothing_is_wrong_nothing_is_said() -> None:
    assert found() == []
    assert found(reliable=annotator()) == []
    assert found(loop=rated(0.45, 0.6)) == []
    assert found(alpha=None) == []


@pytest.mark.parametrize(
    ("kind", "page", "changed"),
    [
        ("worker", "rounds", {"worker_runs": False}),
        ("failed", "rounds", {"loop": a_loop(rounds=[a_round(1), a_round(2, "failed")])}),
        ("rejected", "rounds", {"loop": a_loop(rounds=[a_round(1, "rejected")])}),
        ("win_rate", "rounds", {"loop": rated(0.3, 0.49)}),
        ("ready_tasks", "rounds", {"loop": pool(ready=4)}),
        ("stale", "rounds", {"loop": pool(share=0.51)}),
        ("agreement", "agreement", {"alpha": 0.09}),
        ("gold", "annotators", {"reliable": annotator(gold=0.59)}),
        ("fast", "annotators", {"reliable": annotator(fast=0.26)}),
        ("fast", "annotators", {"reliable": annotator(fast=0.26, judgments=5)}),
    ],
)
def test_each_trouble_is_one_alarm_with_its_page(
    kind: str, page: str, changed: dict[str, Any]
) -> None:
    (one,) = found(**changed)
    assert (one.kind, one.page) == (kind, page)


@pytest.mark.parametrize(
    "changed",
    [
        # The newest round that ended counts: what failed before it is mended.
        {"loop": a_loop(rounds=[a_round(1, "failed"), a_round(2)])},
        {"loop": a_loop(rounds=[a_round(1), a_round(2, "ppo")])},
        {"loop": rated(0.3, 0.5)},
        {"loop": pool(ready=5)},
        {"loop": pool(ready=0, share=None, versionless=5)},
        {"loop": pool(share=0.5)},
        {"loop": a_loop(pool=Staleness(ready=9, stale=0, share=None, mean_age=None, judged=0))},
        {"alpha": 0.1},
        {"reliable": annotator(gold=0.6)},
        {"reliable": annotator(gold=0.1, gold_tasks=4)},
        {"reliable": annotator(gold=None, gold_tasks=None)},
        {"reliable": annotator(fast=0.25)},
        {"reliable": annotator(fast=1.0, judgments=4)},
    ],
)
def test_on_the_bound_nothing_is_said(changed: dict[str, Any]) -> None:
    assert found(**changed) == []


def test_the_bounds_are_settings() -> None:
    settings = AlarmSettings(alpha=0.6, ready_tasks=60, gold=0.95)
    kinds = [one.kind for one in found(settings, reliable=annotator())]
    assert kinds == ["ready_tasks", "agreement", "gold"]


def test_words_name_what_is_wrong() -> None:
    table = pd.concat([annotator(gold=0.5), annotator(name="bob", fast=0.5)], ignore_index=True)
    lost = a_round(3, "failed", reason="The disk is full.")
    words = [one.words for one in found(loop=a_loop(rounds=[lost]), reliable=table)]
    assert words == [
        "Round 3 failed: The disk is full.",
        "ann is right on 50% of the pairs of 20 gold tasks.",
        "bob judged 50% of their tasks faster than they can be read.",
    ]
    (one,) = found(loop=pool(ready=1))
    assert one.words.startswith("Only 1 task is ready")
    (one,) = found(loop=pool(ready=0, share=None))
    assert one.words == "No task is ready."


def test_many_annotators_with_one_trouble_are_one_alarm_that_names_the_worst() -> None:
    many = [annotator(name=f"a{place}", fast=0.3 + place / 1000) for place in range(300)]
    table = pd.concat([*many, annotator(name="bob", gold=0.5)], ignore_index=True)
    gold, fast = found(reliable=table)
    assert (fast.count, gold.count) == (300, 1)
    assert fast.words == (
        "300 annotators judged more than 25% of their tasks faster than they can be read: "
        "a299 (60%), a298 (60%), a297 (60%) and 297 more."
    )


def test_few_annotators_with_one_trouble_are_all_named_the_worst_first() -> None:
    table = pd.concat([annotator(gold=0.5), annotator(name="bob", gold=0.4)], ignore_index=True)
    (one,) = found(reliable=table)
    assert (one.kind, one.count, one.page) == ("gold", 2, "annotators")
    assert one.words == (
        "2 annotators are right on less than 60% of the pairs of gold tasks: bob (40%), ann (50%)."
    )
