"""One turn of the loop: run a round's steps in order, committing each before the next begins.

A step writes what it made under a new name and only then commits the round's next state, in a
transaction that fails if another worker owns the project by now. Whoever opens the round after a
crash starts again at the step that was not committed.
"""

import logging
import time
from collections.abc import Mapping

import torch

from reward.generation.pool import PoolFiller
from reward.language_models.profiles import as_json
from reward.running.lease import Lease, LeaseLost, report_progress
from reward.running.progress_folder import PROGRESS, remove_progress
from reward.running.rounds import advance, count_attempt, next_state, open_round, record_point
from reward.running.runtime import Runtime
from reward.steps.evaluate import evaluate_candidate
from reward.steps.outcome import (
    CannotTrain,
    Step,
    StepContext,
    StepOutcome,
    new_uri,
)
from reward.steps.ppo import train_policy
from reward.steps.publish import check_base, check_candidate, publish
from reward.steps.reward import train_reward
from reward.steps.sft import train_on_demonstrations
from reward.steps.snapshot import take_snapshot
from reward.training.learning_rates import as_settings, learning_rates
from reward.training.out_of_memory import is_out_of_memory
from reward.training.tracking import LOGS, Tracker
from storage.engine import writing
from storage.errors import RankloopError
from storage.tables import Round, RoundState
from storage.telemetry.logs import log_context
from storage.telemetry.traces import span

OUT_OF_MEMORY = (
    "There is not enough memory; lower the sizes under training, such as "
    "training.sampling.max_new_tokens, or choose a smaller model."
)

log = logging.getLogger(__name__)


def _rates(state: RoundState) -> str:
    """Return the learning rates of a step in words; those of all where it trains nothing itself."""
    if state not in (RoundState.SFT, RoundState.REWARD, RoundState.PPO):
        return "the learning rates under training"
    return as_settings(learning_rates(state.value))


def queue_up(context: StepContext) -> StepOutcome:
    """Take a round up from the queue: store its sizes, and name where its steps keep progress."""
    return StepOutcome(
        artefacts={PROGRESS: new_uri(context, PROGRESS)},
        settings=as_json(context.runtime.profile),
    )


STEPS: dict[RoundState, Step] = {
    RoundState.QUEUED: queue_up,
    RoundState.SNAPSHOT: take_snapshot,
    RoundState.SFT: train_on_demonstrations,
    RoundState.REWARD: train_reward,
    RoundState.PPO: train_policy,
    RoundState.EVALUATE: evaluate_candidate,
    RoundState.PUBLISH: check_candidate,
}


class Loop:
    """Runs rounds of one project under a worker's lease."""

    def __init__(self, runtime: Runtime, lease: Lease, pool: PoolFiller) -> None:
        """Keep what every round needs."""
        self.runtime = runtime
        self.lease = lease
        self.pool = pool
        self._tracker: Tracker | None = None

    def run_round_if_due(self) -> Round | None:
        """Finish the open round, or make one that is due; return it ended, None without one.

        A round that cannot be trained ends as failed with its reason, and the live policy stays.
        Raises `LeaseLost` where another worker owns the project by now.
        """
        settings = self.runtime.settings
        with writing(self.runtime.engine) as session:
            one = open_round(
                session,
                lease=self.lease,
                judgments_per_round=settings.judgments_per_round,
                round_hours=settings.round_hours,
                seed=settings.seed,
            )
        if one is None:
            return None
        settings = self.runtime.settings
        sizes = as_json(self.runtime.profile)
        logs, name = settings.home / LOGS, f"round-{one.number}"
        with Tracker(logs / name, name, settings.report_to, sizes, shared=logs) as tracker:
            self._tracker = tracker
            while not one.state.ended:
                state = one.state.value
                with log_context(round=one.number, step=state), span(state, round=one.number):
                    one = self._run_step(one)
        return one

    def working(self, words: str) -> None:
        """Tell the worker's parent, and the Rounds page, what goes on."""
        with writing(self.runtime.engine) as session:
            report_progress(session, lease=self.lease, doing=words)

    def _run_step(self, one: Round) -> Round:
        assert one.id is not None
        with writing(self.runtime.engine) as session:
            attempt = count_attempt(session, lease=self.lease, round_id=one.id)
        one.attempts = attempt
        log.info("Round %d: %s (attempt %d).", one.number, one.state.value, attempt)
        self.working(f"round {one.number}: {one.state.value}")
        # Loaded before anything is drawn: a step done again in a fresh process draws the same.
        self.runtime.backbone.seed = one.seed
        torch.manual_seed(one.seed)
        began = time.monotonic()
        try:
            outcome = STEPS[one.state](self._context(one))
        except LeaseLost:
            raise
        except FloatingPointError as error:
            return self._end(one, RoundState.FAILED, f"{error}; lower {_rates(one.state)}.")
        except (CannotTrain, RankloopError) as error:
            return self._end(one, RoundState.FAILED, str(error))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return self._end(one, RoundState.FAILED, OUT_OF_MEMORY)
        seconds = {f"seconds_{one.state.value}": round(time.monotonic() - began, 2)}
        return self._commit(one, outcome, seconds)

    def _context(self, one: Round) -> StepContext:
        label = f"round {one.number}: {one.state.value}"

        def report(step_index: int, steps: int, metrics: Mapping[str, float]) -> None:
            assert one.id is not None
            with writing(self.runtime.engine) as session:
                # Somebody may have rolled back: what is trained on could not be published.
                check_base(session, one=one)
                record_point(
                    session,
                    lease=self.lease,
                    round_id=one.id,
                    state=one.state,
                    step_index=step_index,
                    steps=steps,
                    metrics=metrics,
                )
                report_progress(session, lease=self.lease, doing=f"{label} {step_index}/{steps}")
            if self._tracker is not None:
                self._tracker.log(one.state.value, step_index, metrics)
            self._keep_annotators_busy()

        def working(words: str) -> None:
            self.working(f"{label}: {words}")

        return StepContext(self.runtime, one, report, working)

    def _keep_annotators_busy(self) -> None:
        sizes = self.runtime.profile.generation
        try:
            if self.pool.lendable() < min(sizes.low_water, self.runtime.settings.pool_tasks):
                with torch.random.fork_rng():
                    self.pool.add_chunk(sizes.chunk_tasks)
        except LeaseLost:
            raise
        except Exception:
            # The round is worth more than a few tasks; the pool is filled after it as well.
            log.exception("No task could be added to the pool.")

    def _commit(self, one: Round, outcome: StepOutcome, seconds: Mapping[str, float]) -> Round:
        assert one.id is not None
        to = RoundState.REJECTED if outcome.rejected else next_state(one.state)
        try:
            with writing(self.runtime.engine) as session:
                changed = advance(
                    session,
                    lease=self.lease,
                    round_id=one.id,
                    to=to,
                    artefacts=outcome.artefacts,
                    metrics={**outcome.metrics, **seconds},
                    reason=outcome.rejected,
                    snapshot_id=outcome.snapshot_id,
                    judgments=outcome.judgments,
                    settings=outcome.settings,
                )
                if to is RoundState.DONE:
                    policy = publish(session, one=changed)
                    log.info("Round %d published policy %d.", one.number, policy.version)
        except LeaseLost:
            raise
        except RankloopError as error:
            return self._end(one, RoundState.FAILED, str(error))
        if outcome.rejected:
            log.info("Round %d: %s", one.number, outcome.rejected)
        self._forget_progress(changed)
        return changed

    def _end(self, one: Round, state: RoundState, reason: str) -> Round:
        assert one.id is not None
        log.error("Round %d %s: %s", one.number, state.value, reason)
        with writing(self.runtime.engine) as session:
            ended = advance(session, lease=self.lease, round_id=one.id, to=state, reason=reason)
        self._forget_progress(ended)
        return ended

    def _forget_progress(self, one: Round) -> None:
        """Remove what the step kept to go on from: its outcome is committed."""
        if PROGRESS in one.artefacts:
            remove_progress(self.runtime.home, one.artefacts[PROGRESS])
