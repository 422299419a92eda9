"""Demonstrations: answers that people wrote, or rewrote from a completion, to be imitated."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, func, select

from labeling.events import record
from labeling.imports.demonstration_files import completion_of
from labeling.imports.one_at_a_time import wait_for_other_imports
from labeling.imports.prompt_files import NewPrompt
from labeling.imports.prompts import content_sha256, prompt_row
from labeling.imports.row_files import Place, Row, RowShape, label_of, prompt_of, read_rows
from labeling.keys import key_of
from labeling.permissions import Action, require
from labeling.texts import storable
from labeling.withdrawals import demonstration_not_withdrawn
from labeling.work_queue.assignment import lock_annotator
from storage.errors import BadInput, NotFound
from storage.tables import Account, AccountKind, Completion, Demonstration, Project, Prompt, Split

#: a completion of 100 KB can be rewritten whole
LONGEST_TEXT = 120_000
DEMONSTRATION_COLUMNS = (
    "id",
    "prompt_id",
    "split",
    "messages",
    "text",
    "annotator_id",
    "created_at",
    "license",
)
_SHAPE = RowShape(
    things="demonstrations",
    columns=("prompt", "messages", "completion", "source", "license"),
    needs=(("prompt", "completion"), ("messages", "completion")),
)


@dataclass(frozen=True)
class DemonstrationImport:
    """Count what an import did: `total` rows read, `added`, and `duplicates` left out."""

    added: int
    duplicates: int
    total: int
    prompts_added: int


@dataclass(frozen=True)
class _NewDemonstration:
    prompt: NewPrompt
    text: str


def add_demonstration(
    session: Session,
    *,
    project: Project,
    account: Account,
    prompt_id: int,
    text: str,
    rewritten_from_id: int | None = None,
    nonce: str | None = None,
) -> Demonstration:
    """Store an answer that the account wrote to a prompt of the project, or rewrote.

    Outer white space is left out; the same nonce stores once. Raises `BadInput` where the text is
    empty, longer than `LONGEST_TEXT` characters or rewritten from another prompt's completion;
    `NotFound`, `NotAllowed`.
    """
    if nonce is not None:
        # As it is now: it may have been switched off since the page was loaded.
        account = lock_annotator(session, key_of(account))
    require(account, Action.JUDGE, project_id=key_of(project))
    if nonce is not None:
        stored = _stored_before(session, nonce, account, prompt_id)
        if stored is not None:
            return stored
    prompt = session.get(Prompt, prompt_id)
    if prompt is None or prompt.project_id != project.id:
        raise NotFound(f"There is no prompt {prompt_id} in this project; load the page again.")
    if rewritten_from_id is not None:
        _check_rewritten(session, rewritten_from_id, prompt_id)
    demonstration = Demonstration(
        prompt_id=prompt_id,
        annotator_id=key_of(account),
        text=_valid_text(text),
        rewritten_from_id=rewritten_from_id,
        nonce=nonce,
    )
    session.add(demonstration)
    session.flush()
    record(
        session,
        project_id=project.id,
        account_id=account.id,
        kind="demonstration.stored",
        demonstration_id=demonstration.id,
        prompt_id=prompt_id,
    )
    return demonstration


def demonstrations_of(
    session: Session, *, project_id: int, split: Split | None = None
) -> pd.DataFrame:
    """Return one row a demonstration by an active account that is no model, oldest first.

    Withdrawn ones are left out. Columns: id, prompt_id, split (text), messages (list), text,
    annotator_id, created_at, license (the prompt's).
    """
    statement = (
        select_columns(
            col(Demonstration.id),
            col(Demonstration.prompt_id),
            col(Prompt.split),
            col(Prompt.messages),
            col(Demonstration.text),
            col(Demonstration.annotator_id),
            col(Demonstration.created_at),
            col(Prompt.license),
        )
        .join(Prompt, col(Prompt.id) == col(Demonstration.prompt_id))
        .join(Account, col(Account.id) == col(Demonstration.annotator_id))
        .where(
            col(Prompt.project_id) == project_id,
            col(Account.active).is_(True),
            col(Account.kind) != AccountKind.MODEL,
            demonstration_not_withdrawn(),
        )
        .order_by(col(Demonstration.id))
    )
    if split is not None:
        statement = statement.where(col(Prompt.split) == split)
    rows = pd.DataFrame(session.execute(statement).all(), columns=list(DEMONSTRATION_COLUMNS))
    rows["split"] = [str(value) for value in rows["split"]]
    return rows


def count_demonstrations(session: Session, *, project_id: int) -> int:
    """Return how many demonstrations the project has, whoever wrote them."""
    return session.exec(
        select(func.count())
        .select_from(Demonstration)
        .join(Prompt, col(Prompt.id) == col(Demonstration.prompt_id))
        .where(Prompt.project_id == project_id)
    ).one()


def import_demonstrations(
    session: Session, *, project: Project, path: Path, account: Account, heldout_share: float
) -> DemonstrationImport:
    """Add the demonstrations of a JSONL(.gz), CSV or Parquet file, and their prompts.

    A row has `prompt` (text or messages) or `messages`, and `completion` (text, or a list of one
    assistant message). A prompt that the project has not is added, its split chosen by its hash.
    Raises `BadInput` naming file, line and field, with nothing added; `NotAllowed`.
    """
    require(account, Action.MANAGE_PROMPTS, project_id=key_of(project))
    project_id = key_of(project)
    found = read_rows(path, _SHAPE, _demonstration_of)
    wait_for_other_imports(session, project_id=project_id)
    known = _known_prompts(session, project_id)
    before, added = len(known), 0
    for new in found:
        digest = content_sha256(new.prompt.messages)
        if digest not in known:
            known[digest] = _add_prompt(session, new.prompt, digest, project_id, heldout_share)
        added += _add_once(session, known[digest], new.text, key_of(account))
    done = DemonstrationImport(
        added=added,
        duplicates=len(found) - added,
        total=len(found),
        prompts_added=len(known) - before,
    )
    record(
        session,
        project_id=project_id,
        account_id=account.id,
        kind="demonstrations.imported",
        file=path.name,
        added=done.added,
        duplicates=done.duplicates,
        prompts_added=done.prompts_added,
    )
    return done


def _stored_before(
    session: Session, nonce: str, account: Account, prompt_id: int
) -> Demonstration | None:
    if not 8 <= len(nonce) <= 64 or not nonce.isprintable():
        raise BadInput("The nonce of a demonstration must be 8 to 64 printable characters.")
    stored = session.exec(select(Demonstration).where(Demonstration.nonce == nonce)).first()
    if stored is None:
        return None
    if stored.annotator_id != account.id or stored.prompt_id != prompt_id:
        raise BadInput("This nonce belongs to another demonstration; send a fresh one for each.")
    return stored


def _check_rewritten(session: Session, completion_id: int, prompt_id: int) -> None:
    completion = session.get(Completion, completion_id)
    if completion is None:
        raise NotFound(f"There is no completion {completion_id}; load the page again.")
    if completion.prompt_id != prompt_id:
        raise BadInput("The completion that was rewritten answers another prompt.")


def _valid_text(text: str) -> str:
    if not isinstance(text, str):
        raise BadInput("The answer must be text.")
    kept = storable(text).strip()
    if not kept:
        raise BadInput("The answer is empty; write one.")
    if len(kept) > LONGEST_TEXT:
        raise BadInput(f"The answer is too long; {LONGEST_TEXT} characters are the most.")
    return kept


def _demonstration_of(row: Row, place: Place) -> _NewDemonstration:
    found = completion_of(row, place)
    if found is None:
        raise place.bad("the completion is missing", "completion")
    text = found.strip()
    if len(text) > LONGEST_TEXT:
        raise place.bad(
            f"the text has {len(text)} characters; {LONGEST_TEXT} are the most", "completion"
        )
    prompt = NewPrompt(
        messages=prompt_of(row, place),
        source=label_of(row, "source", place),
        license=label_of(row, "license", place),
    )
    return _NewDemonstration(prompt, text)


def _known_prompts(session: Session, project_id: int) -> dict[str, int]:
    prompts = session.exec(select(Prompt).where(Prompt.project_id == project_id))
    return {prompt.content_sha256: key_of(prompt) for prompt in prompts}


def _add_prompt(
    session: Session, new: NewPrompt, digest: str, project_id: int, heldout_share: float
) -> int:
    prompt = prompt_row(new, digest, project_id, heldout_share)
    session.add(prompt)
    session.flush()
    return key_of(prompt)


def _add_once(session: Session, prompt_id: int, text: str, annotator_id: int) -> bool:
    stored = session.exec(
        select(Demonstration.id).where(
            Demonstration.prompt_id == prompt_id, Demonstration.text == text
        )
    ).first()
    if stored is not None:
        return False
    session.add(Demonstration(prompt_id=prompt_id, annotator_id=annotator_id, text=text))
    session.flush()
    return True
