"""Which settings hold the learning rate of a stage: what a person lowers where weights run away."""


def learning_rates(stage: str, optimizer: str = "ppo") -> tuple[str, ...]:
    """Return the settings, as SECTION.FIELD, of a stage (sft, reward, ppo).

    `optimizer` is what moves the policy in the stage ppo.
    """
    if stage != "ppo":
        return (f"{stage}.learning_rate",)
    if optimizer == "ppo":
        return ("ppo.learning_rate", "ppo.value_learning_rate")
    return ("optimizer.dpo_learning_rate" if optimizer == "dpo" else "optimizer.learning_rate",)


def as_settings(names: tuple[str, ...]) -> str:
    """Return the settings in words, by the names that `rankloop.toml` has them under."""
    return " or ".join(f"training.{name}" for name in names)


def as_options(names: tuple[str, ...]) -> str:
    """Return the settings in words, as options of a command."""
    return " or ".join(f"--set {name}=N" for name in names)
