"""Prompts that annotators write themselves, with an answer of their own where they like."""

from dataclasses import dataclass

from sqlmodel import Session, select

from labeling.events import record
from labeling.imports.prompt_files import NewPrompt
from labeling.imports.prompts import content_sha256, prompt_row
from labeling.judging.demonstrations import add_demonstration
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, require
from labeling.texts import storable
from labeling.work_queue.assignment import lock_annotator
from storage.errors import BadInput, NotAllowed
from storage.tables import Account, Project, Prompt

LONGEST_PROMPT = 20_000
SOURCE = "annotator"


@dataclass(frozen=True)
class OwnPrompt:
    """Say what was stored: the prompt, whether it is new, and the demonstration if one came."""

    prompt_id: int
    new: bool
    demonstration_id: int | None


def add_own_prompt(
    session: Session,
    *,
    project: Project,
    account: Account,
    text: str,
    answer: str,
    nonce: str,
    heldout_share: float,
) -> OwnPrompt:
    """Store a prompt that the account wrote, and its answer ("": none) as a demonstration.

    The prompt's hash chooses its split, as it does for imported ones; a prompt that the project has
    already is not stored twice. The same nonce stores the answer once. Raises `BadInput` where a
    text is empty or too long, `NotAllowed` where the project does not let annotators write prompts.
    """
    locked = lock_annotator(session, key_of(account))
    require(locked, Action.JUDGE, project_id=key_of(project))
    if not labeling_settings(project).page.own_prompts:
        raise NotAllowed("This project takes no prompts of annotators; ask a lead to allow them.")
    prompt, new = _prompt_of(session, project, account, _valid_prompt(text), heldout_share)
    demonstration = None
    if answer.strip():
        demonstration = add_demonstration(
            session,
            project=project,
            account=account,
            prompt_id=key_of(prompt),
            text=answer,
            nonce=nonce,
        )
    return OwnPrompt(key_of(prompt), new, demonstration.id if demonstration else None)


def _prompt_of(
    session: Session, project: Project, account: Account, text: str, heldout_share: float
) -> tuple[Prompt, bool]:
    messages = [{"role": "user", "content": text}]
    digest = content_sha256(messages)
    # Two annotators may write the same prompt at once: the project's row orders them.
    session.exec(
        select(Project.id).where(Project.id == project.id).with_for_update(key_share=True)
    ).one()
    known = session.exec(
        select(Prompt).where(Prompt.project_id == project.id, Prompt.content_sha256 == digest)
    ).first()
    if known is not None:
        return known, False
    written = NewPrompt(messages=messages, source=SOURCE, license="")
    prompt = prompt_row(written, digest, key_of(project), heldout_share)
    prompt.written_by_id = account.id
    session.add(prompt)
    session.flush()
    record(
        session,
        project_id=project.id,
        account_id=account.id,
        kind="prompt.written",
        prompt_id=prompt.id,
    )
    return prompt, True


def _valid_prompt(text: str) -> str:
    if not isinstance(text, str):
        raise BadInput("The prompt must be text.")
    kept = storable(text).strip()
    if not kept:
        raise BadInput("The prompt is empty; write one.")
    if len(kept) > LONGEST_PROMPT:
        raise BadInput(f"The prompt is too long; {LONGEST_PROMPT} characters are the most.")
    return kept
