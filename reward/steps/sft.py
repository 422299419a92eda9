"""Step 2: supervised fine-tuning on demonstrations, where there are any.

The pages of this version collect no demonstrations yet, so this step counts them, says that there
are none, and goes on with the live policy.
"""

from sqlmodel import col, func, select

from reward.steps.outcome import StepContext, StepOutcome
from storage.engine import reading
from storage.tables import Demonstration, Prompt


def train_on_demonstrations(context: StepContext) -> StepOutcome:
    """Report how many demonstrations stand by; training on them is not built yet."""
    runtime = context.runtime
    with reading(runtime.engine) as session:
        count = session.exec(
            select(func.count())
            .select_from(Demonstration)
            .join(Prompt, col(Prompt.id) == col(Demonstration.prompt_id))
            .where(Prompt.project_id == runtime.project_id)
        ).one()
    return StepOutcome(metrics={"demonstrations": count, "sft": "skipped"})
