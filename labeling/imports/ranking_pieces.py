"""Rankings made of pairs and labels, put in an order that tells nothing, and kept as JSON."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import msgspec

from labeling.imports.preference_rows.imported import (
    Imported,
    ImportedAnnotator,
    ImportedAnswer,
    ImportedCompletion,
    ImportedDemonstration,
    ImportedLabel,
    ImportedPrompt,
    ImportedRanking,
)
from labeling.judging.rankings import dense_ranks, pairs_of
from storage.tables import AccountKind, Split

Value = TypeVar("Value")
_KINDS: dict[str, type[Any]] = {
    "ranking": ImportedRanking,
    "label": ImportedLabel,
    "demonstration": ImportedDemonstration,
    "prompt": ImportedPrompt,
    "answer": ImportedAnswer,
}
_PARTS: dict[str, type[Any]] = {
    "prompt": ImportedPrompt,
    "completion": ImportedCompletion,
    "annotator": ImportedAnnotator,
}
_FIELDS = {
    kind: tuple(each.name for each in fields(kind))
    for kind in (*_KINDS.values(), *_PARTS.values(), ImportedCompletion)
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def in_canonical_order(ranking: ImportedRanking) -> ImportedRanking:
    """Return the ranking with its completions ordered by a hash of their texts.

    A file's own order may tell the ranks (chosen first, best first); this one tells nothing, and is
    the same for everybody who ranked these completions.
    """
    found = ranking.completions
    keys = [(hashlib.sha256(one.text.encode()).digest(), one.model, one.id) for one in found]
    order = sorted(range(len(found)), key=lambda position: keys[position])
    if order == list(range(len(found))):
        return ranking
    return replace(
        ranking,
        completions=_in(order, found),
        ranks=_in(order, ranking.ranks),
        likert=_each_in(order, ranking.likert),
        checks=_each_in(order, ranking.checks),
    )


def _in(order: Sequence[int], values: Sequence[Value]) -> tuple[Value, ...]:
    return tuple(values[position] for position in order)


def _each_in(order: Sequence[int], values: Mapping[str, list[Value]]) -> dict[str, list[Value]]:
    return {name: list(_in(order, given)) for name, given in values.items()}


def of_pairs(pairs: Sequence[ImportedRanking]) -> list[ImportedRanking]:
    """Return the ranking whose strict pairs these are; the pairs themselves where they are none."""
    whole = _whole(pairs) if len(pairs) > 1 else None
    return [whole] if whole else list(pairs)


def _whole(pairs: Sequence[ImportedRanking]) -> ImportedRanking | None:
    completions: dict[str, ImportedCompletion] = {}
    losses: dict[str, int] = {}
    made: set[tuple[str, str]] = set()
    for pair in pairs:
        better, worse = sorted(range(2), key=lambda at: pair.ranks[at])
        ids = [one.id for one in pair.completions]
        for one in pair.completions:
            completions.setdefault(one.id, one)
            losses.setdefault(one.id, 0)
        losses[ids[worse]] += 1
        made.add((ids[better], ids[worse]))
    names = list(completions)
    # In a weak order, what loses to fewer is better, and what is tied loses to as many.
    ranks = dense_ranks([losses[name] + 1 for name in names])
    strict = {(names[better], names[worse]) for better, worse in pairs_of(ranks)}
    if strict != made or len(made) != len(pairs):
        return None
    return replace(pairs[0], completions=tuple(completions.values()), ranks=tuple(ranks))


def of_labels(labels: Sequence[ImportedLabel]) -> ImportedRanking | None:
    """Return the ranking that has the wanted completions before the others; None without both."""
    if len({one.good for one in labels}) < 2:
        return None
    first = labels[0]
    return ImportedRanking(
        first.prompt,
        tuple(one.completion for one in labels),
        tuple(1 if one.good else 2 for one in labels),
        annotator=first.annotator,
        task=first.task,
    )


def to_json(one: Imported) -> str:
    """Return what a row held as JSON."""
    # `dataclasses.asdict` copies each message anew, and takes longer than all the rest.
    values: dict[str, Any] = {name: getattr(one, name) for name in _FIELDS[type(one)]}
    for name, kind in _PARTS.items():
        if name in values:
            values[name] = _plain(values[name], kind)
    if "completions" in values:
        values["completions"] = [_plain(each, ImportedCompletion) for each in one.completions]  # type: ignore[union-attr]
    return msgspec.json.encode([_NAMES[type(one)], values]).decode()


def from_json(text: str) -> Any:
    """Return what `to_json` was given."""
    name, values = msgspec.json.decode(text)
    if name == "prompt":
        return _prompt(values.values())
    values["prompt"] = _prompt(values["prompt"])
    if "annotator" in values:
        who, kind = values["annotator"]
        values["annotator"] = ImportedAnnotator(who, AccountKind(kind))
    if "completion" in values:
        values["completion"] = ImportedCompletion(*values["completion"])
    if "completions" in values:
        values["completions"] = tuple(ImportedCompletion(*each) for each in values["completions"])
    for field in ("ranks", "flags"):
        if field in values:
            values[field] = tuple(values[field])
    return _KINDS[name](**values)


def _plain(one: Any, kind: type[Any]) -> list[Any]:
    return [getattr(one, name) for name in _FIELDS[kind]]


def _prompt(values: Iterable[Any]) -> ImportedPrompt:
    messages, split, tags, *texts = values
    return ImportedPrompt(messages, split and Split(split), tuple(tags), *texts)
