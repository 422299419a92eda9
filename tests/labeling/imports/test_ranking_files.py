import gzip
import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from labeling.formats import trl_preference
from labeling.formats.example import Answer, Example, Ranking
from labeling.imports.ranking_files import count_pairs, read_rankings, split_rankings
from storage.errors import BadInput
from storage.tables import Split

ASK = [{"role": "user", "content": "Why?"}]
PAIR: dict[str, Any] = {"prompt": "Why?", "chosen": "So.", "rejected": "No."}


def write(folder: Path, rows: list[Any], name: str = "mine.jsonl") -> Path:
    path = folder / name
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def assistant(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def test_every_shape_gives_the_same_ranking(tmp_path: Path) -> None:
    rows = [
        PAIR,
        {"prompt": ASK, "chosen": assistant("So."), "rejected": assistant("No.")},
        {"chosen": ASK + assistant("So."), "rejected": ASK + assistant("No.")},
        {"prompt": "Why?", "completions": ["So.", "No."], "ranks": [1, 2]},
        {"messages": ASK, "completions": ["So.", "No."], "ranks": [0, 3]},
        {
            "prompt": "Why?",
            "options": [{"text": "So.", "rank": 0, "model": "m"}, {"text": "No.", "rank": 1}],
        },
    ]
    found = read_rankings(write(tmp_path, rows, "a.jsonl.gz"))
    assert [(one.messages, one.completions, one.ranks) for one in found] == [
        (ASK, ["So.", "No."], [1, 2])
    ] * len(rows)


def test_what_a_row_may_say_besides(tmp_path: Path) -> None:
    rows = [
        {
            "prompt": "Why?",
            "completions": ["a", "", "c"],
            "ranks": [2, 2, 1],
            "weight": 0.5,
            "strength": 3,
            "split": "test",
            "subset": "hard",
            "source": "mine",
            "scores": [1, 2.5, 3],
            "finish_reasons": ["stop", "length", "stop"],
        },
        {**PAIR, "score_chosen": 8, "score_rejected": 2, "split": "train"},
    ]
    first, second = read_rankings(write(tmp_path, rows))
    assert (first.ranks, first.weight, first.strength) == ([2, 2, 1], 0.5, 3.0)
    assert (first.split, first.subset, first.source) == (Split.HELDOUT, "hard", "mine")
    assert first.scores == [1.0, 2.5, 3.0]
    assert first.finish_reasons == ["stop", "length", "stop"]
    assert (second.split, second.scores, second.weight) == (Split.TRAIN, [8.0, 2.0], 1.0)
    assert count_pairs([first, second]) == 3


def test_csv_and_parquet_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        'prompt,completions,ranks,split\nWhy?,"[""So."", ""No.""]","[1, 2]",\n'
    )
    (tmp_path / "b.csv").write_text("prompt,chosen,rejected,weight\nWhy?,So.,,0.5\n")
    pd.DataFrame([{**PAIR, "chosen": assistant("So."), "rejected": assistant("No.")}]).to_parquet(
        tmp_path / "c.parquet"
    )
    rows = [read_rankings(tmp_path / name) for name in ("a.csv", "b.csv", "c.parquet")]
    assert [found.completions for (found,) in rows] == [["So.", "No."], ["So.", ""], ["So.", "No."]]
    assert rows[1][0].weight == 0.5
    assert rows[0][0].split is None


BAD_ROWS: list[tuple[Any, str]] = [
    ({"prompt": "Why?"}, "field completions: the completions are missing"),
    ({"chosen": "a", "rejected": "b"}, "field prompt: the prompt is missing"),
    ({"prompt": "Why?", "chosen": "a"}, "field rejected: it is missing"),
    ({**PAIR, "rejected": 7}, "field rejected: it must be text or messages, not int"),
    ({**PAIR, "chosen": ASK}, r"field chosen\[0\].role: the last message must be the assistant"),
    ({**PAIR, "chosen": assistant("x"), "rejected": ASK + assistant("y")}, "field rejected: it d"),
    ({**PAIR, "prompt": []}, "field prompt: the list of messages is empty"),
    ({**PAIR, "weight": -1}, "field weight: it must not be below 0"),
    ({**PAIR, "weight": "much"}, "field weight: 'much' is no finite number"),
    ({**PAIR, "strength": float("nan")}, "field strength: nan is no finite number"),
    ({**PAIR, "split": "maybe"}, "field split: 'maybe' is no split"),
    ({**PAIR, "chosen": "a\x00"}, "field chosen: the text has a NUL"),
    ({"prompt": "Why?", "completions": ["a"], "ranks": [1]}, "field completions: .*at least 2"),
    ({"prompt": "Why?", "completions": ["a", "b"], "ranks": [1]}, "field ranks: it has 1 values"),
    ({"prompt": "Why?", "completions": ["a", "b"], "ranks": [1, None]}, r"field ranks\[1\]: None"),
    ({"prompt": "Why?", "completions": ["a", "b"], "ranks": [1, True]}, r"field ranks\[1\]: True"),
    ({"prompt": "Why?", "completions": ["a", 2], "ranks": [1, 2]}, r"field completions\[1\]: it m"),
    ({"prompt": "Why?", "options": ["a", "b"]}, r"field options\[0\]: an option must have"),
    ({"prompt": "Why?", "options": [{"text": "a"}, {}]}, r"field options\[0\].rank: None is no ra"),
    ([1], "a line must be a JSON object with a field chosen and rejected, or completions and ran"),
]


@pytest.mark.parametrize(("row", "says"), BAD_ROWS)
def test_a_bad_row_is_named(tmp_path: Path, row: Any, says: str) -> None:
    path = write(tmp_path, [PAIR, row])
    with pytest.raises(BadInput, match=rf"mine\.jsonl, line 2.*{says}.*Nothing was trained"):
        read_rankings(path)


def test_files_without_rankings_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.jsonl: there is no such file"):
        read_rankings(tmp_path / "none.jsonl")
    with pytest.raises(BadInput, match=r"holds no rankings\. Nothing was trained"):
        read_rankings(write(tmp_path, []))
    (tmp_path / "a.csv").write_text("prompt,chosen\nWhy?,So.\n")
    with pytest.raises(BadInput, match="line 1, field chosen: the header has no column chosen and"):
        read_rankings(tmp_path / "a.csv")


@pytest.mark.parametrize("ranks", sorted(set(permutations([1, 1, 2, 3]))))
def test_the_pairs_of_an_exported_ranking_are_one_ranking_again(
    tmp_path: Path, ranks: tuple[int, ...]
) -> None:
    completions = tuple(
        Answer(11 + place, text, policy_version=1) for place, text in enumerate("abcd")
    )
    ranking = Ranking(ranks, annotator="x", judgment_id=5)
    example = Example(1, 1, ASK, completions, (ranking,))
    rows = list(trl_preference.rows(example))
    (found,) = read_rankings(write(tmp_path, rows))
    assert dict(zip(found.completions, found.ranks, strict=True)) == dict(
        zip("abcd", ranks, strict=True)
    )
    assert count_pairs([found]) == len(rows) == 5


def test_the_strength_of_an_exported_pair_is_counted_from_0(tmp_path: Path) -> None:
    completions = tuple(
        Answer(11 + place, text, policy_version=1) for place, text in enumerate("ab")
    )
    asked = [
        Ranking((1, 2), annotator="x", judgment_id=number, strength=strength)
        for number, strength in enumerate((1, 4, None), start=5)
    ]
    rows = [
        row
        for ranking in asked
        for row in trl_preference.rows(Example(1, 1, ASK, completions, (ranking,)))
    ]
    found = read_rankings(write(tmp_path, rows))
    assert [one.strength for one in found] == [0.0, 3.0, None]
    # Llama 2's margin, from 0 to 1, is a third of it.
    assert [row["margin"] for row in rows] == [0.0, 1.0, 0.0]


def test_the_scores_of_an_exported_ranking_stay_with_its_completions(tmp_path: Path) -> None:
    scored = {"a": 9.0, "b": 7.0, "c": 2.0}
    rows = [
        {
            "prompt": "Why?", "chosen": better, "rejected": worse, "judgment_id": 1,
            "chosen_id": better, "rejected_id": worse, "score_chosen": scored[better],
            "score_rejected": scored[worse],
        }
        for better, worse in (("b", "c"), ("a", "c"), ("a", "b"))
    ]  # fmt: skip
    (found,) = read_rankings(write(tmp_path, rows))
    assert dict(zip(found.completions, found.scores or [], strict=True)) == scored
    rows[0]["score_chosen"] = 7.5
    assert read_rankings(write(tmp_path, rows))[0].scores is None


@pytest.mark.parametrize(("own", "strength"), [(True, 0), (True, 5), (False, -2), (False, 999)])
def test_a_strength_that_is_none_is_named(tmp_path: Path, own: bool, strength: int) -> None:
    ids = {"judgment_id": 1, "chosen_id": 1, "rejected_id": 2} if own else {}
    row = {"prompt": "Why?", "chosen": "a", "rejected": "b", "strength": strength, **ids}
    with pytest.raises(BadInput, match=r"line 1.*strength"):
        read_rankings(write(tmp_path, [row]))


def test_pairs_that_go_round_in_a_circle_stay_pairs(tmp_path: Path) -> None:
    rows = [
        {**PAIR, "judgment_id": 1, "chosen_id": better, "rejected_id": worse}
        for better, worse in ((1, 2), (2, 3), (3, 1))
    ]
    assert [one.ranks for one in read_rankings(write(tmp_path, rows))] == [[1, 2]] * 3


def test_no_prompt_is_on_both_sides_and_the_file_has_its_say(tmp_path: Path) -> None:
    rows = [{**PAIR, "prompt": f"Why {number % 50}?"} for number in range(100)]
    found = read_rankings(write(tmp_path, rows))
    train, heldout = split_rankings(found, 0.2)
    assert {one.prompt_sha256 for one in train}.isdisjoint(one.prompt_sha256 for one in heldout)
    assert 5 <= len(heldout) <= 40
    assert len(train) + len(heldout) == 100
    marked = [
        {**row, "split": "test" if number < 3 else "train"} for number, row in enumerate(rows)
    ]
    train, heldout = split_rankings(read_rankings(write(tmp_path, marked)), 0.2)
    assert [one.messages[0]["content"] for one in heldout] == ["Why 0?", "Why 1?", "Why 2?"]


def test_a_row_without_a_split_is_on_the_side_of_its_prompts_others(tmp_path: Path) -> None:
    told = [
        {**PAIR, "prompt": f"Why {number}?", "split": "test" if number % 2 else "train"}
        for number in range(20)
    ]
    bare = [{**PAIR, "prompt": f"Why {number}?"} for number in range(20)]
    train, heldout = split_rankings(read_rankings(write(tmp_path, told + bare)), 0.2)
    for side, rest in ((train, 0), (heldout, 1)):
        assert len(side) == 20
        assert {int(one.messages[0]["content"][4:-1]) % 2 for one in side} == {rest}


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_file_of_one_side_alone_is_split_by_prompt(tmp_path: Path, split: str) -> None:
    rows = [{**PAIR, "prompt": f"Why {number}?", "split": split} for number in range(100)]
    train, heldout = split_rankings(read_rankings(write(tmp_path, rows)), 0.2)
    assert {len(train), len(heldout)} != {0, 100}
    bare = [{**PAIR, "prompt": f"Why {number}?"} for number in range(100)]
    again, _ = split_rankings(read_rankings(write(tmp_path, bare)), 0.2)
    assert [one.messages for one in again] == [one.messages for one in train]
