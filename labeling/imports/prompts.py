"""Prompts of a project: imported whole or not at all, each on one side of training for good."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, func, select

from labeling.events import record
from labeling.imports.batches import batches
from labeling.imports.bulk_insert import insert_rows
from labeling.imports.one_at_a_time import wait_for_other_imports
from labeling.imports.prompt_files import NewPrompt, each_prompt
from labeling.imports.row_files import Progress, valid_language, valid_tags
from labeling.imports.staged_prompts import StagedPrompts
from labeling.keys import key_of
from labeling.permissions import Action, require
from storage.clock import now
from storage.core import table_of
from storage.tables import Account, Project, Prompt, Split

STARTER_PROMPTS = Path(__file__).parent / "data" / "starter_prompts.jsonl.gz"
# Evaluation sets: a policy trained on them could no longer be measured by them.
EVALUATION_SOURCES = frozenset({"lm-sys/FastChat mt_bench"})
_LOOKUP = 500
_STORED_AT_ONCE = 1000
# `json.dumps` makes an encoder for each call that asks for something unusual.
_CANONICAL = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class PromptImport:
    """Count what an import did: `total` rows read, `added`, and `duplicates` left out."""

    added: int
    duplicates: int
    total: int


def content_sha256(messages: list[dict[str, str]]) -> str:
    """Return the SHA-256 of the messages' canonical JSON, by which a prompt is unique."""
    pairs = [[message["role"], message["content"]] for message in messages]
    return hashlib.sha256(_CANONICAL.encode(pairs).encode()).hexdigest()


def split_of(content_sha256: str, share: float) -> Split:
    """Choose the split from the hash alone: about `share` of all prompts are held out.

    The same prompt always falls on the same side, and a larger share only ever moves prompts from
    train to held out.
    """
    return Split.HELDOUT if int(content_sha256[:13], 16) / 16**13 < share else Split.TRAIN


@contextmanager
def staged_prompts(
    path: Path,
    *,
    tags: Sequence[str] = (),
    language: str = "",
    progress: Progress = lambda what, share: None,
) -> Iterator[StagedPrompts]:
    """Yield the prompts of a JSONL(.gz), CSV or Parquet file, read whole into a temporary file.

    `tags` are added to each prompt's own; `language` is that of rows that name none. `progress` is
    told what is done and the share of it (0 … 1). No database is needed, and nothing waits for it,
    however slowly the file comes. Raises `BadInput` naming file, line and field.
    """
    tags, language = valid_tags(tags), valid_language(language)
    with StagedPrompts(path.name) as staged:
        for one in each_prompt(path, progress):
            kept = replace(
                one,
                tags=tuple(dict.fromkeys((*one.tags, *tags))),
                language=one.language or language,
            )
            staged.add(content_sha256(one.messages), kept)
        yield staged


def import_prompts(
    session: Session,
    *,
    project: Project,
    prompts: StagedPrompts,
    heldout_share: float,
    account: Account | None = None,
    progress: Progress = lambda what, share: None,
) -> PromptImport:
    """Store the staged prompts that the project does not have yet.

    `account` asks (None: the person at the server's shell). `progress` is told what is done and the
    share of it (0 … 1). Raises `NotAllowed`. The session must be writing.
    """
    if account is not None:
        require(account, Action.MANAGE_PROMPTS, project_id=key_of(project))
    project_id = key_of(project)
    wait_for_other_imports(session, project_id=project_id)
    different, seen, added = len(prompts), 0, 0
    for some in batches(prompts, _STORED_AT_ONCE):
        known = _known(session, project_id, [digest for digest, _ in some])
        rows = [
            prompt_values(prompt, digest, project_id, heldout_share)
            for digest, prompt in some
            if digest not in known
        ]
        insert_rows(session, table_of(Prompt), rows)
        seen, added = seen + len(some), added + len(rows)
        progress("Storing", seen / different)
    done = PromptImport(added, prompts.total - added, prompts.total)
    record(
        session,
        project_id=project_id,
        account_id=account.id if account else None,
        kind="prompts.imported",
        file=prompts.name,
        added=done.added,
        duplicates=done.duplicates,
        heldout_share=heldout_share,
    )
    return done


def add_starter_prompts(
    session: Session, *, project: Project, heldout_share: float
) -> PromptImport:
    """Add the prompts that come with Rankloop; calling it again adds nothing."""
    with staged_prompts(STARTER_PROMPTS) as prompts:
        return import_prompts(
            session, project=project, prompts=prompts, heldout_share=heldout_share
        )


def count_prompts(session: Session, *, project_id: int) -> int:
    """Return how many prompts the project has."""
    return session.exec(
        select(func.count()).select_from(Prompt).where(Prompt.project_id == project_id)
    ).one()


def _known(session: Session, project_id: int, digests: list[str]) -> set[str]:
    known: set[str] = set()
    for some in batches(digests, _LOOKUP):
        wanted = col(Prompt.content_sha256).in_(some)
        statement = select(Prompt.content_sha256).where(Prompt.project_id == project_id, wanted)
        known.update(session.exec(statement))
    return known


def split_of_new(digest: str, heldout_share: float, *, source: str) -> Split:
    """Choose a new prompt's split; what is from an evaluation set is held out whatever its hash."""
    return Split.HELDOUT if source in EVALUATION_SOURCES else split_of(digest, heldout_share)


def prompt_row(prompt: NewPrompt, digest: str, project_id: int, heldout_share: float) -> Prompt:
    """Return the row of a new prompt, its split as `split_of_new` says."""
    return Prompt(**prompt_values(prompt, digest, project_id, heldout_share))


def prompt_values(
    prompt: NewPrompt, digest: str, project_id: int, heldout_share: float
) -> dict[str, Any]:
    """Return the columns of a new prompt's row, its split as `split_of_new` says."""
    return {
        "project_id": project_id,
        "messages": prompt.messages,
        "content_sha256": digest,
        "source": prompt.source,
        "license": prompt.license,
        "tags": list(prompt.tags),
        "language": prompt.language,
        "split": split_of_new(digest, heldout_share, source=prompt.source),
        "created_at": now(),
    }
