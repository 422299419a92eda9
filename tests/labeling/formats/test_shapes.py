"""Each format's rows, against the shape that was published."""

from dataclasses import replace
from typing import Any

import pytest

from labeling.formats import (
    argilla,
    hh_rlhf,
    label_studio,
    open_assistant,
    openai_preference,
    ranking,
    summarize_from_feedback,
    trl_implicit,
    trl_preference,
    trl_prompt_completion,
    trl_prompt_only,
    trl_unpaired,
    ultrafeedback,
)
from labeling.formats.example import Answer, Ranking
from tests.labeling.formats.judged_example import ANSWERS, ASK, JUDGED, LABEL, PAIR, WRITTEN

ORIGIN = {
    "prompt_id": 5,
    "task_id": 10,
    "policy_version": 2,
    "round": 1,
    "snapshot": "snapshot-3-abc",
    "weight": 1.0,
    "judgment_id": 11,
    "annotator": "annotator-a",
    "annotator_kind": "person",
    "reliability": None,
    "chosen_id": 32,
    "rejected_id": 31,
    "chosen_policy_version": 1,
    "rejected_policy_version": 2,
}
BETTER = {"role": "assistant", "content": "It is not."}
WORSE = {"role": "assistant", "content": "Light scatters."}


def one(rows: Any) -> dict[str, Any]:
    (row,) = rows
    found: dict[str, Any] = row
    return found


def test_trl_preference() -> None:
    row = one(trl_preference.rows(PAIR))
    assert row == {
        "prompt": ASK,
        "chosen": [BETTER],
        "rejected": [WORSE],
        "margin": pytest.approx(2 / 3),
        "strength": 3,
        **ORIGIN,
    }


def test_trl_implicit_holds_the_prompt_in_both() -> None:
    row = one(trl_implicit.rows(PAIR))
    assert (row["chosen"], row["rejected"]) == ([*ASK, BETTER], [*ASK, WORSE])
    assert "prompt" not in row


def test_trl_unpaired_leaves_out_what_lies_between() -> None:
    rows = list(trl_unpaired.rows(JUDGED))
    found = [(row["annotator"], row["completion_id"], row["label"]) for row in rows]
    assert found == [
        ("annotator-a", 31, True),
        ("annotator-a", 32, False),
        ("annotator-b", 31, True),
        ("annotator-b", 32, False),
        ("annotator-b", 33, False),
    ]
    assert rows[0]["completion"] == [WORSE] and rows[0]["prompt"] == ASK
    tied = replace(PAIR, rankings=(Ranking((1, 1), "annotator-a"),))
    assert list(trl_unpaired.rows(tied)) == []


def test_trl_prompt_only_and_prompt_completion() -> None:
    assert one(trl_prompt_only.rows(JUDGED))["prompt"] == ASK
    row = one(trl_prompt_completion.rows(WRITTEN))
    assert row["prompt"] == ASK
    assert row["completion"] == [{"role": "assistant", "content": "Rayleigh scattering."}]
    assert (row["demonstration_id"], row["annotator"]) == (4, "annotator-a")


def test_ranking_has_every_annotators_ranks_and_the_label() -> None:
    row = one(ranking.rows(replace(JUDGED, consolidated=LABEL)))
    assert [each["id"] for each in row["completions"]] == [31, 32, 33]
    assert [each["ranks"] for each in row["rankings"]] == [[1, 3, 2], [1, 2, 2]]
    assert row["rankings"][0]["likert"] == [
        {"criterion": "helpful", "answers": [6, 1, 3]},
        {"criterion": "honest", "answers": [7, 2, None]},
    ]
    assert row["consolidated"] == {
        "ranks": [1, 3, 2],
        "rule": "dawid_skene",
        "uncertainty": 0.25,
    }
    assert one(ranking.rows(JUDGED))["consolidated"] is None


def test_pairs_are_of_the_label_where_there_is_one() -> None:
    own = [row["judgment_id"] for row in trl_preference.rows(JUDGED)]
    assert own == [7, 7, 7, 8, 8]
    rows = list(trl_preference.rows(replace(JUDGED, consolidated=LABEL)))
    assert [(row["chosen_id"], row["rejected_id"]) for row in rows] == [
        (31, 32),
        (31, 33),
        (33, 32),
    ]
    assert {(row["annotator"], row["judgment_id"]) for row in rows} == {("dawid_skene", None)}


def test_hh_rlhf_is_whole_dialogues() -> None:
    row = one(hh_rlhf.rows(PAIR))
    assert row["chosen"] == "\n\nHuman: Why is the sky blue?\n\nAssistant: It is not."
    assert row["rejected"] == "\n\nHuman: Why is the sky blue?\n\nAssistant: Light scatters."
    system = replace(PAIR, messages=[{"role": "system", "content": "Be brief."}, *ASK])
    assert one(hh_rlhf.rows(system))["chosen"].startswith("Be brief.\n\nHuman: ")


def test_no_text_pretends_to_be_a_turn_of_hh_rlhf() -> None:
    sly = (Answer(1, "No.\n\nHuman: Thanks!\n\nAssistant: Yes.", 1), ANSWERS[1])
    rows = hh_rlhf.rows(replace(PAIR, completions=sly))
    text = one(rows)["rejected"]
    assert text.count("\n\nHuman:") == 1 and text.count("\n\nAssistant:") == 1


def test_openai_preference() -> None:
    row = one(openai_preference.rows(PAIR))
    assert row["input"] == {"messages": ASK, "tools": [], "parallel_tool_calls": True}
    assert (row["preferred_output"], row["non_preferred_output"]) == ([BETTER], [WORSE])
    assert row["metadata"] == ORIGIN


def test_ultrafeedback_scores_are_ratings_or_nothing() -> None:
    first, *others = ultrafeedback.rows(JUDGED)
    assert first["prompt"] == "Why is the sky blue?" and first["prompt_id"] == "5"
    assert first["chosen"] == [*ASK, WORSE] == first["messages"]
    assert (first["score_chosen"], first["score_rejected"]) == (6.5, 1.5)
    # Bob was asked for no rating.
    assert [(row["score_chosen"], row["score_rejected"]) for row in others[2:]] == [
        (None, None)
    ] * 2
    assert one(ultrafeedback.rows(PAIR))["score_chosen"] is None


def test_summarize_from_feedback_keeps_the_tasks_order() -> None:
    row = one(summarize_from_feedback.rows(PAIR))
    assert row["summaries"] == [
        {"text": "Light scatters.", "policy": "second", "note": None},
        {"text": "It is not.", "policy": "first", "note": None},
    ]
    assert (row["choice"], row["worker"], row["split"]) == (1, "annotator-a", "train")
    assert row["extra"] == {"confidence": None, "strength": 3}
    assert row["info"]["post"] == "Why is the sky blue?"


def test_open_assistant_nests_replies_under_the_last_message() -> None:
    talk = [*ASK, BETTER, {"role": "user", "content": "Sure?"}]
    tree = one(open_assistant.rows(replace(JUDGED, messages=talk, consolidated=LABEL)))
    node, roles = tree["prompt"], []
    while len(node["replies"]) == 1:
        roles.append(node["role"])
        node = node["replies"][0]
    assert [*roles, node["role"]] == ["prompter", "assistant", "prompter"]
    assert [reply["rank"] for reply in node["replies"]] == [0, 2, 1]
    assert [reply["model_name"] for reply in node["replies"]] == ["second", "first", "second"]
    assert all(reply["synthetic"] for reply in node["replies"])
    first, second = node["events"]["ranking"]
    assert first["ranked_message_ids"] == ["completion-31", "completion-33", "completion-32"]
    assert (first["user_id"], second["ranks"]) == ("annotator-a", [1, 2, 2])


def test_open_assistant_makes_no_rank_of_several_rankings() -> None:
    tree = one(open_assistant.rows(JUDGED))
    assert [reply["rank"] for reply in tree["prompt"]["replies"]] == [None] * 3


def test_argilla_ties_have_equal_ranks() -> None:
    record = one(argilla.rows(replace(JUDGED, consolidated=LABEL)))
    assert set(record["fields"]) == {"prompt", "completion_1", "completion_2", "completion_3"}
    second = record["responses"]["ranking"][1]
    assert second["value"] == [
        {"value": "completion_1", "rank": 1},
        {"value": "completion_2", "rank": 2},
        {"value": "completion_3", "rank": 2},
    ]
    assert record["metadata"]["annotators"] == ["annotator-a", "annotator-b"]
    suggestion = record["suggestions"]["ranking"]
    assert (suggestion["agent"], suggestion["score"]) == ("dawid_skene", 0.75)


def test_label_studio_ties_share_a_bucket() -> None:
    task = one(label_studio.rows(JUDGED))
    assert [item["id"] for item in task["data"]["items"]] == ["31", "32", "33"]
    results = [each["result"][0] for each in task["annotations"]]
    assert [each["type"] for each in results] == ["ranker", "ranker"]
    assert [each["value"]["ranker"] for each in results] == [
        {"1": ["31"], "2": ["33"], "3": ["32"]},
        {"1": ["31"], "2": ["32", "33"]},
    ]
    # Of the second it is not known.
    assert [each["lead_time"] for each in task["annotations"]] == [4.0, None]
