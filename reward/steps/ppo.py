"""Step 4: move the live policy up the reward model with PPO, on training prompts."""

from reward.ppo import PPOTrainer
from reward.reward_model import RewardModel
from reward.steps.outcome import CannotTrain, StepContext, StepOutcome, new_uri
from reward.steps.prompts import policy_prompts
from storage.blobs import local_path, verify, write_folder
from storage.engine import reading
from storage.tables import Policy, Split


def train_policy(context: StepContext) -> StepOutcome:
    """Train from the round's base policy and save the candidate's adapter."""
    runtime, one = context.runtime, context.round
    backbone, profile = runtime.backbone, runtime.profile
    reward = load_reward(context)
    prompts = policy_prompts(runtime, Split.TRAIN)
    start_policy(context)
    trainer = PPOTrainer(
        backbone,
        reward.score,
        profile.ppo,
        profile.sampling,
        seed=one.seed,
        generation_batch=profile.generation.batch,
    )
    history: list[dict[str, float]] = []

    def on_iteration(iteration: int, metrics: dict[str, float]) -> None:
        history.append(metrics)
        context.report(iteration, profile.ppo.iterations, metrics)

    try:
        trainer.train(prompts, on_iteration)
    except FloatingPointError as error:
        raise CannotTrain(f"{error}; lower training.ppo.learning_rate.") from error
    uri = new_uri(context, "policy")
    with write_folder(runtime.home, uri) as folder:
        backbone.save_adapter("policy", folder)
    return StepOutcome(
        artefacts={"policy": uri},
        metrics={
            "ppo_score_first": history[0]["objective/scores"],
            "ppo_score_last": history[-1]["objective/scores"],
            "ppo_kl_last": history[-1]["objective/kl"],
            "ppo_iterations": len(history),
        },
    )


def load_reward(context: StepContext) -> RewardModel:
    """Load the round's reward model from its checkpoint, whose hashes must hold."""
    runtime, uri = context.runtime, context.round.artefacts["reward"]
    verify(runtime.home, uri)
    return RewardModel.load(runtime.backbone, local_path(runtime.home, uri))


def start_policy(context: StepContext) -> None:
    """Make the adapter `policy` equal to the round's base policy."""
    runtime = context.runtime
    with reading(runtime.engine) as session:
        base = session.get_one(Policy, context.round.base_policy_id)
    if runtime.load_policy(base, "policy") is None:
        runtime.backbone.add_adapter("policy")
