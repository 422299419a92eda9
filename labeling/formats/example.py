"""One judged task as every export format is given it: what was asked, answered, ranked, by whom."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Messages = list[dict[str, str]]
ExportSplit = Literal["train", "validation", "test"]
EXPORT_SPLITS: tuple[ExportSplit, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion of a task, with the policy (version and name) that wrote it."""

    id: int
    text: str
    policy_version: int
    policy: str = ""
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ranks (1 is best, equal is a tie) of a task's completions, in task position order.

    `annotator` is a pseudonym; `annotator_kind` is person, simulated, model, or consolidated, for
    a label made of several judgments, where `annotator` names the rule and `judgment_id` is None.
    A lead's decision has judgment_id 0. `strength` (1–4) is said for two completions alone.
    `likert` (1–7) and `checks` hold one answer a completion under the name of each criterion.
    `uncertainty` is a consolidated label's, `reliability` the annotator's, where it was measured.
    """

    ranks: tuple[int, ...]
    annotator: str
    annotator_kind: str = "person"
    judgment_id: int | None = None
    strength: int | None = None
    likert: dict[str, list[int | None]] = field(default_factory=dict)
    checks: dict[str, list[bool | None]] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    rationale: str = ""
    milliseconds: int = 0
    guideline_version: int | None = None
    created_at: datetime | None = None
    reliability: float | None = None
    uncertainty: float | None = None


@dataclass(frozen=True, slots=True)
class WrittenAnswer:
    """A demonstration: an answer that a person wrote."""

    id: int
    text: str
    annotator: str
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A task with its rankings; or, with task_id 0, a prompt's demonstrations and nothing else.

    `rankings` are the annotators' own, `consolidated` the one label made of them, where the
    snapshot has a rule for it. `policy_version` is the newest of the completions', `round` the
    training round that made it (0: none). `weight` is the one that every row of this example
    has: one over the rows that its prompt has in the file. `snapshot` is the snapshot's name
    for good: `snapshot-ID-HASH`.
    """

    prompt_id: int
    task_id: int
    messages: Messages
    completions: tuple[Answer, ...] = ()
    rankings: tuple[Ranking, ...] = ()
    consolidated: Ranking | None = None
    demonstrations: tuple[WrittenAnswer, ...] = ()
    split: ExportSplit = "train"
    policy_version: int = 0
    round: int = 0
    snapshot: str = ""
    source: str = ""
    license: str = ""
    tags: tuple[str, ...] = ()
    language: str = ""
    weight: float = 1.0

    @property
    def labels(self) -> tuple[Ranking, ...]:
        """Return the rankings that rows are made of: the consolidated one alone, or all."""
        return self.rankings if self.consolidated is None else (self.consolidated,)


def strict_pairs(ranks: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield (position of the better, position of the worse) of each pair that is not tied.

    In the order of the positions: (0, 1), (0, 2), …, whichever of the two is the better.
    """
    for i, first in enumerate(ranks):
        for j in range(i + 1, len(ranks)):
            if first < ranks[j]:
                yield i, j
            elif first > ranks[j]:
                yield j, i
