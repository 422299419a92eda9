"""Summarize-from-feedback's comparisons: two summaries of a post, and which a worker chose."""

from collections.abc import Iterator
from typing import Any

from labeling.imports.preference_rows.fields import (
    PAIR_ORIGIN,
    PROMPT_FACTS,
    annotator_of,
    answer,
    id_of,
    json_in,
    object_if_any,
    object_in,
    own_judgment,
    prompt_with_facts,
    strength_of,
    whole_in,
)
from labeling.imports.preference_rows.imported import (
    Imported,
    ImportedCompletion,
    ImportedRanking,
)
from labeling.imports.row_files import Place, Row, RowShape, messages_of, text_of

SHAPE = RowShape(
    things="comparisons",
    columns=("info", "summaries", "choice", "worker", "extra", *PAIR_ORIGIN, *PROMPT_FACTS),
    needs=(("info", "summaries", "choice"),),
    lists=("info", "summaries", "extra"),
)


def read(row: Row, place: Place) -> Iterator[Imported]:
    """Yield the comparison; `extra.confidence` is another scale than strength, and passed over."""
    info = object_in(json_in(row, "info", place), place, "info")
    summaries = json_in(row, "summaries", place)
    if not isinstance(summaries, list) or len(summaries) != 2:
        raise place.bad("it must be a list of two summaries", "summaries")
    choice = whole_in(row.get("choice"), place, "choice")
    if choice not in (0, 1):
        raise place.bad(
            f"{choice!r} is no choice; use 0 for the first and 1 for the second", "choice"
        )
    ranks = (1, 2) if choice == 0 else (2, 1)
    chosen_first = ("chosen_id", "rejected_id") if choice == 0 else ("rejected_id", "chosen_id")
    ids = [id_of(row, name) for name in chosen_first]
    who = annotator_of(row, place, "worker", "annotator")
    extra = object_if_any(json_in(row, "extra", place), place, "extra")
    yield ImportedRanking(
        prompt=prompt_with_facts(row, place, _messages(info, place)),
        completions=tuple(
            _summary(one, key, place) for one, key in zip(summaries, ids, strict=True)
        ),
        ranks=ranks,
        annotator=who,
        task=id_of(row, "task_id"),
        judgment=own_judgment(row, who) if all(ids) else "",
        strength=strength_of(extra, ranks, place),
    )


def _summary(one: object, key: str, place: Place) -> ImportedCompletion:
    given = object_in(one, place, "summaries")
    text = text_of(given.get("text"), place, "summaries.text", may_be_empty=True)
    return answer(text, model=str(given.get("policy") or ""), key=key)


def _messages(info: dict[str, Any], place: Place) -> list[dict[str, str]]:
    """Return the conversation, or the post as the models were asked.

    Stiennon et al. 2020 (arXiv:2009.01325), appendix B, table 4: subreddit, title, post, TL;DR.
    """
    if isinstance(info.get("messages"), list) and info["messages"]:
        return messages_of(info["messages"], place, "info.messages")
    post = info.get("post") or info.get("article")
    text = text_of(post, place, "info.post")
    lines = [f"SUBREDDIT: r/{info['subreddit']}"] if info.get("subreddit") else []
    lines += [f"TITLE: {info['title']}"] if info.get("title") else []
    whole = "\n".join([*lines, f"POST: {text}", "TL;DR:"])
    return messages_of([{"role": "user", "content": whole}], place, "info")
