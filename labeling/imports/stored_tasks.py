"""Store staged tasks many at a time: prompts, completions, tasks, assignments and judgments."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from labeling.imports.batches import batches
from labeling.imports.bulk_insert import insert_for_keys, insert_rows
from labeling.imports.imported_accounts import ImportedAccounts
from labeling.imports.preference_rows.imported import (
    ImportedCompletion,
    ImportedPrompt,
    ImportedRanking,
)
from labeling.imports.prompts import split_of_new
from labeling.imports.staging import StagedTask
from labeling.keys import key_of
from labeling.policies import named_import_policy
from storage.clock import now
from storage.core import table_of
from storage.tables import (
    Assignment,
    AssignmentState,
    Completion,
    Judgment,
    Project,
    Prompt,
    Split,
    Task,
    TaskCompletion,
    TaskKind,
    TaskStatus,
)

AT_ONCE = 500  # tasks of one batch: rows of it are in memory
SELECTION = "imported"  # the stamp of a task whose completions this project did not choose
UNNAMED_MODEL = "unnamed model"
# The same objects in all rows: `insert_rows` writes each only once.
_NO_FIELDS: dict[str, Any] = {}
_NO_ITEMS: list[Any] = []
_VERSION = re.compile(r"policy-\d+")


@dataclass
class Stored:
    """Count what was stored."""

    tasks: int = 0
    judgments: int = 0
    completions: int = 0
    prompts: int = 0
    prompts_known: int = 0
    heldout: int = 0  #: judgments of held-out prompts
    policies: dict[str, int] = field(default_factory=dict)


class TaskStore:
    """Stores tasks of one import; the session must be writing."""

    def __init__(
        self,
        session: Session,
        *,
        project: Project,
        import_id: int,
        accounts: ImportedAccounts,
        source: str,
        heldout_share: float,
    ) -> None:
        """Keep what every row refers to."""
        self.session = session
        self.project_id = key_of(project)
        self.import_id = import_id
        self.accounts = accounts
        self.source = source
        self.heldout_share = heldout_share
        self.stored = Stored()
        self._at: datetime = now()
        self._lists: dict[tuple[int, ...], list[int]] = {}

    def add(self, tasks: Sequence[StagedTask]) -> None:
        """Store tasks with their judgments, done; each prompt is looked up, or added."""
        prompts = self.prompt_ids([task.prompt for task in tasks])
        ids = [prompts[task.prompt.sha256] for task in tasks]
        completions = self.completion_ids(
            [(prompt_id, task.rankings[0].completions) for prompt_id, task in _zip(ids, tasks)]
        )
        task_ids = self.insert(
            Task,
            [
                self.task_values(prompt_id, keys, len(task.rankings), status=TaskStatus.DONE)
                | {"judged": len(task.rankings)}
                for prompt_id, keys, task in zip(ids, completions, tasks, strict=True)
            ],
        )
        self.place(task_ids, completions)
        judged = [
            (task_id, ranking)
            for task_id, task in _zip(task_ids, tasks)
            for ranking in task.rankings
        ]
        assignments = self.insert(Assignment, [self._assignment(*one) for one in judged])
        insert_rows(
            self.session,
            table_of(Judgment),
            [
                self._judgment(task_id, assignment_id, ranking, number)
                for number, (assignment_id, (task_id, ranking)) in enumerate(
                    _zip(assignments, judged), start=self.stored.judgments
                )
            ],
        )
        self.stored.tasks += len(tasks)
        self.stored.judgments += len(judged)

    def prompt_ids(self, prompts: Sequence[ImportedPrompt]) -> dict[str, int]:
        """Return the prompts' ids by their hash; those that the project has not are added."""
        wanted: dict[str, ImportedPrompt] = {}
        for prompt in prompts:
            wanted.setdefault(prompt.sha256, prompt)
        known = self._known(wanted)
        fresh = [self._prompt(wanted[digest], digest) for digest in wanted if digest not in known]
        self.stored.prompts_known += len(known)
        self.stored.prompts += len(fresh)
        ids = self.insert(Prompt, fresh)
        return known | {row["content_sha256"]: key for key, row in _zip(ids, fresh)}

    def completion_ids(
        self, wanted: Sequence[tuple[int, Sequence[ImportedCompletion]]]
    ) -> list[list[tuple[int, int]]]:
        """Store each prompt's completions; return (completion id, policy id) of each, by prompt."""
        rows = [self._completion(prompt_id, one) for prompt_id, some in wanted for one in some]
        ids = iter(_zip(self.insert(Completion, rows), rows))
        self.stored.completions += len(rows)
        return [
            [(key, row["policy_id"]) for _, (key, row) in zip(some, ids, strict=False)]
            for _, some in wanted
        ]

    def task_values(
        self, prompt_id: int, completions: Sequence[tuple[int, int]], overlap: int, **values: Any
    ) -> dict[str, Any]:
        """Return the values of a task's row."""
        return {
            "project_id": self.project_id,
            "prompt_id": prompt_id,
            "policy_id": max(policy_id for _, policy_id in completions),
            "overlap": overlap,
            "priority": 0,
            "kind": TaskKind.ORDINARY,
            "status": TaskStatus.READY,
            "judged": 0,
            "selection": SELECTION,
            "pool": "",
            "import_id": self.import_id,
            "created_at": self._at,
            **values,
        }

    def place(
        self, task_ids: Sequence[int], completions: Sequence[Sequence[tuple[int, int]]]
    ) -> None:
        """Put the completions into their tasks, in order."""
        insert_rows(
            self.session,
            table_of(TaskCompletion),
            [
                {"task_id": task_id, "position": position, "completion_id": key}
                for task_id, some in _zip(task_ids, completions)
                for position, (key, _) in enumerate(some)
            ],
        )

    def insert(self, table: Any, rows: Sequence[dict[str, Any]]) -> list[int]:
        """Insert rows; return their keys in the same order."""
        return insert_for_keys(self.session, table, rows)

    def _known(self, digests: Iterable[str]) -> dict[str, int]:
        known: dict[str, int] = {}
        for some in batches(digests, AT_ONCE):
            rows = self.session.exec(
                select(Prompt.content_sha256, Prompt.id).where(
                    Prompt.project_id == self.project_id, col(Prompt.content_sha256).in_(some)
                )
            )
            known |= {digest: key for digest, key in rows if key is not None}
        return known

    def _prompt(self, prompt: ImportedPrompt, digest: str) -> dict[str, Any]:
        source = prompt.source or self.source
        split = split_of_new(digest, self.heldout_share, source=source)
        return {
            "project_id": self.project_id,
            "messages": prompt.messages,
            "content_sha256": digest,
            "source": source,
            "license": prompt.license,
            # An evaluation set stays held out, whatever a file says of it.
            "split": Split.HELDOUT
            if split is Split.HELDOUT and prompt.split is None
            else prompt.split or split,
            "tags": list(prompt.tags) or _NO_ITEMS,
            "language": prompt.language,
            "created_at": self._at,
        }

    def _completion(self, prompt_id: int, one: ImportedCompletion) -> dict[str, Any]:
        return {
            "prompt_id": prompt_id,
            "policy_id": self._policy_id(one.model),
            "text": one.text,
            "sampling": _NO_FIELDS,
            "seed": 0,
            "finish_reason": one.finish_reason,
            "token_count": 0,
            "created_at": self._at,
        }

    def _list(self, values: Iterable[int]) -> list[int]:
        """Return a list of few different ones: of ranks, or of places."""
        key = tuple(values)
        return self._lists.setdefault(key, list(key))

    def _policy_id(self, model: str) -> int:
        # A bare version, or no name, says nothing outside of its source.
        own = not model or _VERSION.fullmatch(model)
        name = f"{model or UNNAMED_MODEL} ({self.source})" if own else model
        if name not in self.stored.policies:
            policy = named_import_policy(self.session, project_id=self.project_id, name=name)
            self.stored.policies[name] = key_of(policy)
        return self.stored.policies[name]

    def _assignment(self, task_id: int, ranking: ImportedRanking) -> dict[str, Any]:
        return {
            "task_id": task_id,
            "annotator_id": self.accounts.id_of(ranking.annotator),
            "state": AssignmentState.SUBMITTED,
            "leased_at": self._at,
            "expires_at": self._at,
            "order_seed": 0,
            "display_order": self._list(range(len(ranking.ranks))),
            "counted": True,
        }

    def _judgment(
        self, task_id: int, assignment_id: int, ranking: ImportedRanking, number: int
    ) -> dict[str, Any]:
        return {
            "project_id": self.project_id,
            "task_id": task_id,
            "assignment_id": assignment_id,
            "annotator_id": self.accounts.id_of(ranking.annotator),
            "ranks": self._list(ranking.ranks),
            "strength": ranking.strength,
            "likert": dict(ranking.likert) or _NO_FIELDS,
            "checks": dict(ranking.checks) or _NO_FIELDS,
            "flags": list(ranking.flags) or _NO_ITEMS,
            "rationale": ranking.rationale,
            "milliseconds": ranking.milliseconds,
            "marks": _NO_ITEMS,
            # Nobody says in which order they were shown; positions are in no telling order.
            "display_order": self._list(range(len(ranking.ranks))),
            "nonce": f"import-{self.import_id}-{number}",
            "created_at": self._at,
        }


def _zip(one: Iterable[Any], other: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(one, other, strict=True)
