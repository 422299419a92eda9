"""The rankings that our reward model and TRL's are compared on, and what their arithmetic takes."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from benchmarks.peers.reward_workload import Ranking, read_rankings, write_rankings
from benchmarks.reward_against_trl import filled_rankings, generated_rankings
from labeling.imports.ranking_files import RankedText
from tests.tiny_model import make_tiny_model


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        make_tiny_model(tmp_path_factory.mktemp("model"))
    )
    return found


def test_pairs_read_each_answer_anew_and_a_packed_ranking_reads_the_prompt_once() -> None:
    ranking = Ranking([1] * 10, [[2] * 3, [2] * 5, [2] * 7], [2, 1, 3])
    assert sorted(ranking.pairs) == [(0, 2), (1, 0), (1, 2)]
    assert ranking.packed_tokens == 25
    # Each answer stands in two pairs: 2 · (13 + 15 + 17).
    assert ranking.pair_tokens == 90


def test_both_sides_read_what_was_written(tmp_path: Path) -> None:
    train, heldout = [Ranking([1], [[2], [3]], [2, 1])], [Ranking([4], [[5], [6]], [1, 2])]
    write_rankings(tmp_path / "rankings.json", train, heldout)
    assert read_rankings(tmp_path / "rankings.json") == (train, heldout)


def test_generated_answers_are_ranked_by_their_share_of_marks(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    mark = tokenizer("!")["input_ids"][0]
    rankings = generated_rankings(tokenizer, 3, 4, seed=1)
    for one in rankings:
        assert sorted(one.ranks) == [1, 2, 3, 4]
        shares = [answer.count(mark) / len(answer) for answer in one.answers]
        assert all(shares[better] > shares[worse] for better, worse in one.pairs)
    assert rankings == generated_rankings(tokenizer, 3, 4, seed=1)
    assert rankings != generated_rankings(tokenizer, 3, 4, seed=2)


def test_a_short_ranking_of_a_file_is_filled_with_answers_of_other_lengths(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    rankings = [
        RankedText([{"role": "user", "content": "a"}], ["one", "one two", "also one"], [1, 2, 3]),
        RankedText([{"role": "user", "content": "b"}], ["one two three", "1 2 3 4"], [1, 2]),
    ]
    found = filled_rankings(tokenizer, rankings, 4, "shorter", seed=0)
    assert len(found) == 2
    for one in found:
        words = [tokenizer.decode(answer[:-1]).count(" ") + 1 for answer in one.answers]
        assert sorted(words) == [1, 2, 3, 4]
        assert one.ranks == words
    assert filled_rankings(tokenizer, rankings, 5, "shorter", seed=0) == []
