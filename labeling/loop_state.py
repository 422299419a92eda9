"""The loop at a glance: what is live, what people think of it, and what comes next."""

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from labeling.policies import live_policy
from labeling.rollback import policy_summaries
from labeling.rounds import judgments_until_round, round_summaries
from labeling.work_queue.freshness import Staleness, staleness


@dataclass(frozen=True)
class LoopState:
    """Hold the policies and rounds (oldest first, as `policy_summaries` and `round_summaries`).

    `live` is the version that is live, `until_round` how many more judgments start the next round
    of `judgments_per_round`.
    """

    live: int
    policies: list[dict[str, Any]]
    rounds: list[dict[str, Any]]
    until_round: int
    judgments_per_round: int
    pool: Staleness

    @property
    def live_policy(self) -> dict[str, Any]:
        """Return the summary of the live policy."""
        return next(one for one in self.policies if one["version"] == self.live)


def loop_state(session: Session, *, project_id: int, judgments_per_round: int) -> LoopState:
    """Return the state of the project's loop; raise `NotFound` where no policy is live."""
    return LoopState(
        live=live_policy(session, project_id=project_id).version,
        policies=policy_summaries(session, project_id=project_id),
        rounds=round_summaries(session, project_id=project_id),
        until_round=judgments_until_round(
            session, project_id=project_id, judgments_per_round=judgments_per_round
        ),
        judgments_per_round=judgments_per_round,
        pool=staleness(session, project_id),
    )
