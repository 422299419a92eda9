"""Read ranked completions from JSONL, CSV and Parquet files, in the shapes that are about.

A row is a pair (`prompt`, `chosen`, `rejected`: TRL's preferences and Rankloop's own export), a
ranking (`prompt`, `completions`, `ranks`), or a ranking of Open-Assistant's (`prompt`,
`options[{text, rank}]`, 0 is best). The pairs that an export made of one ranking are put together
again, so that its prompt is read once and counts once.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labeling.imports.prompts import content_sha256, split_of
from labeling.imports.row_files import Place, Row, RowShape, label_of, prompt_of, read_rows, text_of
from labeling.judging.rankings import dense_ranks, pairs_of
from storage.tables import Split

RANKINGS = RowShape(
    things="rankings",
    columns=(
        *("prompt", "messages", "chosen", "rejected", "completions", "ranks", "options", "scores"),
        *("finish_reasons", "weight", "strength", "split", "subset", "source", "score_chosen"),
        *("score_rejected", "judgment_id", "chosen_id", "rejected_id"),
    ),
    needs=(("chosen", "rejected"), ("completions", "ranks"), ("options",)),
    lists=("messages", "completions", "ranks", "options", "scores", "finish_reasons"),
    ending=" Nothing was trained.",
)
SPLITS = {
    **dict.fromkeys(("train", "training"), Split.TRAIN),
    **dict.fromkeys(("test", "heldout", "validation", "eval"), Split.HELDOUT),
}


@dataclass(frozen=True)
class RankedText:
    """One ranking of completions of one prompt, as text."""

    messages: list[dict[str, str]]
    completions: list[str]
    ranks: list[int]  #: dense, 1 is best, equal ranks are a tie
    weight: float = 1.0  #: how much it counts in training
    strength: float | None = None  #: how clearly the better is preferred, 0 to 3, where asked
    scores: list[float] | None = None  #: what each completion was scored, where it was
    finish_reasons: list[str] | None = None  #: "stop" where the policy ended by itself
    split: Split | None = None  #: as the file says
    subset: str = ""
    source: str = ""
    where: str = ""  #: file and line (of its first pair), in words

    @property
    def prompt_sha256(self) -> str:
        """Return what tells the prompt from every other."""
        return content_sha256(self.messages)


@dataclass(frozen=True)
class _Found:
    """A ranking of a row; `judgment` and `ids` where the row is a pair of a larger ranking."""

    ranking: RankedText
    judgment: str = ""
    ids: tuple[str, str] = ("", "")


def read_rankings(path: Path, shape: RowShape = RANKINGS) -> list[RankedText]:
    """Return the rankings of a file in order; the pairs of one judgment are one ranking.

    Raises `BadInput` naming file, line and field at the first row that does not fit.
    """
    return _put_together(read_rows(path, shape, _found))


def split_rankings(
    rankings: Iterable[RankedText], heldout_share: float
) -> tuple[list[RankedText], list[RankedText]]:
    """Return the rankings to train on and those to test on.

    What a row says of its split holds; else what another row of its prompt says, held out before
    train; else the prompt's hash decides, as it does in a project. So no prompt is ever on both
    sides, unless its rows say so. The hash decides for all where every row says the same, as in an
    export's `train.jsonl` alone.
    """
    rankings = list(rankings)
    told = len({one.split for one in rankings}) > 1
    said: dict[str, Split] = {}
    for side in (Split.TRAIN, Split.HELDOUT):
        said |= {one.prompt_sha256: side for one in rankings if one.split is side}
    train: list[RankedText] = []
    heldout: list[RankedText] = []
    for one in rankings:
        named = (one.split or said.get(one.prompt_sha256)) if told else None
        split = named or split_of(one.prompt_sha256, heldout_share)
        (train if split is Split.TRAIN else heldout).append(one)
    return train, heldout


def count_pairs(rankings: Iterable[RankedText]) -> int:
    """Return how many comparisons the rankings hold; ties make none."""
    return sum(len(pairs_of(one.ranks)) for one in rankings)


def _found(row: Row, place: Place) -> _Found:
    if row.get("chosen") is not None or row.get("rejected") is not None:
        return _pair(row, place)
    if row.get("options") is not None:
        return _Found(_options(row, place))
    if row.get("completions") is not None:
        return _Found(_ranking(row, place))
    raise place.bad(f"the completions are missing; a row needs {place.shape.wanted}", "completions")


def _pair(row: Row, place: Place) -> _Found:
    dialogues = [_dialogue(row, name, place) for name in ("chosen", "rejected")]
    messages = _prompt_of_pair(row, [head for head, _ in dialogues], place)
    scores = [_number(row, name, place) for name in ("score_chosen", "score_rejected")]
    ranking = RankedText(
        messages=messages,
        completions=[text for _, text in dialogues],
        ranks=[1, 2],
        scores=[one for one in scores if one is not None] if None not in scores else None,
        **_common(row, place),
    )
    keys = [row.get(name) for name in ("judgment_id", "chosen_id", "rejected_id")]
    if any(key is None for key in keys):
        return _Found(ranking)
    return _Found(ranking, str(keys[0]), (str(keys[1]), str(keys[2])))


def _dialogue(row: Row, name: str, place: Place) -> tuple[list[Any], str]:
    """Return the messages before the answer (none where the field is the answer) and the answer."""
    value = row.get(name)
    if value is None:
        raise place.bad("it is missing", name)
    if isinstance(value, str):
        return [], text_of(value, place, name, may_be_empty=True)
    if not isinstance(value, list) or not value:
        raise place.bad(f"it must be text or messages, not {type(value).__name__}", name)
    *before, last = value
    where = f"{name}[{len(before)}]"
    if not isinstance(last, dict) or last.get("role") != "assistant":
        raise place.bad("the last message must be the assistant's", f"{where}.role")
    text = text_of(last.get("content"), place, f"{where}.content", may_be_empty=True)
    return before, text


def _prompt_of_pair(row: Row, heads: Sequence[list[Any]], place: Place) -> list[dict[str, str]]:
    """Return the prompt, which may stand in `chosen` and `rejected` instead (UltraFeedback)."""
    if heads[0] != heads[1]:
        raise place.bad("it does not begin with the same messages as chosen", "rejected")
    if heads[0]:
        return prompt_of({"prompt": heads[0]}, place)
    return prompt_of(row, place)


def _options(row: Row, place: Place) -> RankedText:
    texts, ranks = [], []
    options = _list(row, "options", place)
    for index, option in enumerate(options):
        where = f"options[{index}]"
        if not isinstance(option, dict):
            raise place.bad("an option must have text and rank", where)
        texts.append(text_of(option.get("text"), place, f"{where}.text", may_be_empty=True))
        ranks.append(_rank(option.get("rank"), place, f"{where}.rank"))
    return RankedText(prompt_of(row, place), texts, dense_ranks(ranks), **_common(row, place))


def _ranking(row: Row, place: Place) -> RankedText:
    texts = [
        text_of(text, place, f"completions[{index}]", may_be_empty=True)
        for index, text in enumerate(_list(row, "completions", place))
    ]
    size = len(texts)
    ranks = [
        _rank(rank, place, f"ranks[{index}]")
        for index, rank in enumerate(_list(row, "ranks", place, size))
    ]
    scores = finish_reasons = None
    if row.get("scores") is not None:
        found = enumerate(_list(row, "scores", place, size))
        scores = [_finite(score, place, f"scores[{index}]") for index, score in found]
    if row.get("finish_reasons") is not None:
        finish_reasons = [str(each) for each in _list(row, "finish_reasons", place, size)]
    return RankedText(
        prompt_of(row, place),
        texts,
        dense_ranks(ranks),
        scores=scores,
        finish_reasons=finish_reasons,
        **_common(row, place),
    )


def _common(row: Row, place: Place) -> dict[str, Any]:
    weight = _number(row, "weight", place)
    if weight is not None and weight < 0:
        raise place.bad("it must not be below 0", "weight")
    named = label_of(row, "split", place).strip().lower()
    if named and named not in SPLITS:
        raise place.bad(f"{named!r} is no split; use train or test", "split")
    return {
        "weight": 1.0 if weight is None else weight,
        "strength": _strength(row, place),
        "split": SPLITS.get(named),
        "subset": label_of(row, "subset", place),
        "source": label_of(row, "source", place),
        "where": place.words,
    }


def _strength(row: Row, place: Place) -> float | None:
    """Return the strength from 0 to 3; this project's own exports have it as asked, 1 to 4."""
    given = _number(row, "strength", place)
    own = row.get("chosen_id") is not None and row.get("rejected_id") is not None
    least = 1 if own else 0
    if given is not None and not least <= given <= least + 3:
        raise place.bad(f"{given:g} is not from {least} to {least + 3}", "strength")
    return None if given is None else given - least


def _list(row: Row, name: str, place: Place, size: int | None = None) -> list[Any]:
    value = row.get(name)
    if not isinstance(value, list):
        raise place.bad(f"it must be a list, not {type(value).__name__}", name)
    if size is None and len(value) < 2:
        raise place.bad("it must hold at least 2 completions", name)
    if size is not None and len(value) != size:
        raise place.bad(f"it has {len(value)} values for {size} completions", name)
    return value


def _rank(value: object, place: Place, name: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise place.bad(f"{value!r} is no rank; use whole numbers, the lowest for the best", name)
    return value


def _number(row: Row, name: str, place: Place) -> float | None:
    value = row.get(name)
    return None if value is None or value == "" else _finite(value, place, name)


def _finite(value: object, place: Place, name: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise place.bad(f"{value!r} is no finite number", name)
    return number


def _put_together(found: Sequence[_Found]) -> list[RankedText]:
    """Make one ranking of the pairs of one judgment, where its pairs are all there."""
    judgments: dict[tuple[str, str], list[_Found]] = {}
    for index, one in enumerate(found):
        key = one.judgment or f"row {index}"
        judgments.setdefault((key, one.ranking.prompt_sha256), []).append(one)
    together = []
    for pairs in judgments.values():
        whole = _whole(pairs) if len(pairs) > 1 else None
        together += [whole] if whole else [one.ranking for one in pairs]
    return together


def _whole(pairs: Sequence[_Found]) -> RankedText | None:
    """Return the ranking whose strict pairs these are; None where they are of no ranking."""
    texts: dict[str, str] = {}
    losses: dict[str, int] = {}
    for one in pairs:
        for each, text in zip(one.ids, one.ranking.completions, strict=True):
            texts.setdefault(each, text)
            losses.setdefault(each, 0)
        losses[one.ids[1]] += 1
    names = list(texts)
    ranks = dense_ranks([losses[name] + 1 for name in names])
    made = {(names[better], names[worse]) for better, worse in pairs_of(ranks)}
    if made != {one.ids for one in pairs} or len(made) != len(pairs):
        return None
    return replace(
        pairs[0].ranking,
        completions=[texts[name] for name in names],
        ranks=ranks,
        scores=_scores(pairs, names),
    )


def _scores(pairs: Sequence[_Found], names: Sequence[str]) -> list[float] | None:
    """Return what each completion was scored; None where a pair does not say, or two differ."""
    scores: dict[str, float] = {}
    for one in pairs:
        for name, score in zip(one.ids, one.ranking.scores or (), strict=False):
            if scores.setdefault(name, score) != score:
                return None
    return [scores[name] for name in names] if len(scores) == len(names) else None
