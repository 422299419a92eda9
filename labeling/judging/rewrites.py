"""Completions that annotators rewrite: demonstrations that know what they were written from."""

from sqlmodel import Session

from labeling.judging.demonstrations import add_demonstration
from labeling.labeling_settings import labeling_settings
from storage.errors import BadInput, NotAllowed, NotFound
from storage.tables import Account, Assignment, Demonstration, Project, Task, TaskCompletion


def rewrite_completion(
    session: Session,
    *,
    project: Project,
    account: Account,
    assignment_id: int,
    place: int,
    text: str,
    nonce: str,
) -> Demonstration:
    """Store what the annotator wrote in place of the completion they were shown in `place`.

    Raises what `add_demonstration` raises; `NotAllowed` where the project takes no rewrites.
    """
    if not labeling_settings(project).page.rewrites:
        raise NotAllowed("This project takes no rewritten completions; ask a lead to allow them.")
    assignment = session.get(Assignment, assignment_id)
    if assignment is None or assignment.annotator_id != account.id:
        raise NotFound("This task is not lent to you; load the next one.")
    if not 0 <= place < len(assignment.display_order):
        raise BadInput(f"Nothing was shown in place {place}; load the page again.")
    task = session.get_one(Task, assignment.task_id)
    position = assignment.display_order[place]
    shown = session.get_one(TaskCompletion, (assignment.task_id, position))
    return add_demonstration(
        session,
        project=project,
        account=account,
        prompt_id=task.prompt_id,
        text=text,
        rewritten_from_id=shown.completion_id,
        nonce=nonce,
    )
