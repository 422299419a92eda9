"""What a row of somebody's data can be: a ranking, a label, an answer to imitate, or a prompt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from labeling.imports.prompts import content_sha256
from storage.tables import AccountKind, Split


@dataclass(frozen=True)
class ImportedPrompt:
    """A conversation to be continued, and what the file says of it; never change its messages."""

    messages: list[dict[str, str]]
    split: Split | None = None  #: None: the file does not say
    tags: tuple[str, ...] = ()
    language: str = ""
    source: str = ""
    license: str = ""

    @cached_property
    def sha256(self) -> str:
        """Return what tells the prompt from every other."""
        return content_sha256(self.messages)


@dataclass(frozen=True, slots=True)
class ImportedCompletion:
    """An answer, the model that wrote it, and what the file calls the answer ("": nothing)."""

    text: str
    model: str = ""
    id: str = ""
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True)
class ImportedAnnotator:
    """Who judged or wrote, as the file calls them; "" where it does not say."""

    name: str = ""
    kind: AccountKind = AccountKind.PERSON


@dataclass(frozen=True, slots=True)
class ImportedRanking:
    """What one annotator said of a prompt's completions.

    `ranks[i]` (dense, 1 is best, equal is a tie) and each list in `likert` and `checks` are of
    `completions[i]`. `task` is the file's own number of what was judged: rankings of the same task
    and completions become judgments of one task. Rankings with the same `judgment` are pairs of
    one larger ranking.
    """

    prompt: ImportedPrompt
    completions: tuple[ImportedCompletion, ...]
    ranks: tuple[int, ...]
    annotator: ImportedAnnotator = ImportedAnnotator()
    task: str = ""
    judgment: str = ""
    strength: int | None = None
    likert: Mapping[str, list[int | None]] = field(default_factory=dict)
    checks: Mapping[str, list[bool | None]] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    rationale: str = ""
    milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class ImportedLabel:
    """A completion that somebody called good or bad: ranked above, or below, the others."""

    prompt: ImportedPrompt
    completion: ImportedCompletion
    good: bool
    annotator: ImportedAnnotator = ImportedAnnotator()
    task: str = ""
    judgment: str = ""


@dataclass(frozen=True, slots=True)
class ImportedDemonstration:
    """An answer to imitate, and who wrote it."""

    prompt: ImportedPrompt
    text: str
    annotator: ImportedAnnotator = ImportedAnnotator()


@dataclass(frozen=True, slots=True)
class ImportedAnswer:
    """A completion that waits for people to rank it."""

    prompt: ImportedPrompt
    completion: ImportedCompletion


Imported = ImportedRanking | ImportedLabel | ImportedDemonstration | ImportedPrompt | ImportedAnswer
