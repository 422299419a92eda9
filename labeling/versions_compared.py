"""Two versions of the policy side by side: their figures, and what both answer to one prompt."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from labeling.loop_state import LoopState
from labeling.permissions import Action, require
from storage.tables import Account, Completion, Policy, Prompt

_SAMPLES = ("samples", "best_samples", "worst_samples")


@dataclass(frozen=True)
class SideBySide:
    """Hold a prompt (its last message) and what each of two versions answered."""

    prompt: str
    first: str
    second: str
    place: str


@dataclass(frozen=True)
class VersionsCompared:
    """Hold what is known of two versions.

    `figures` has, for each of the two, what a round's evaluation measured of it (as in
    `metrics["policies"]`), and `rounds` the number of that round; None where none did. `wins` is
    how often people preferred the newer (`human_win_rates`), where they were asked for just these.
    """

    first: int
    second: int
    figures: tuple[dict[str, Any] | None, dict[str, Any] | None]
    rounds: tuple[int | None, int | None]
    wins: dict[str, Any] | None
    samples: list[SideBySide]


def compare_versions(
    session: Session, *, project_id: int, account: Account, loop: LoopState, first: int,
    second: int, most: int,
) -> VersionsCompared:  # fmt: skip
    """Compare two published versions; at most `most` prompts that both answered.

    Held-out prompts of evaluations come first, then prompts that both were ranked on. Raises
    `NotAllowed`: whoever ranks blind must not learn how each writes.
    """
    require(account, Action.SEE_QUALITY, project_id=project_id)
    mine, theirs = _answers(loop, first), _answers(loop, second)
    samples = [
        SideBySide(prompt, mine[prompt], theirs[prompt], "held-out")
        for prompt in mine
        if prompt in theirs
    ]
    if len(samples) < most:
        samples += _ranked(session, project_id, first, second, most - len(samples))
    found = _measured(loop, first), _measured(loop, second)
    newer = max(first, second)
    rates = [one["human_win_rate"] for one in loop.policies if one["version"] == newer]
    asked = rates and rates[0] is not None and rates[0]["over"] == min(first, second)
    return VersionsCompared(
        first=first,
        second=second,
        figures=(found[0][1], found[1][1]),
        rounds=(found[0][0], found[1][0]),
        wins=rates[0] if asked else None,
        samples=samples[:most],
    )


def _roles(loop: LoopState, version: int) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the rounds that measured a version, the newest first, and what they call it."""
    for one in reversed(loop.rounds):
        if one["policy_version"] == version:
            yield one, "candidate"
        elif one["base_policy_version"] == version:
            yield one, "live"
        elif version == 1:
            yield one, "first"


def _measured(loop: LoopState, version: int) -> tuple[int | None, dict[str, Any] | None]:
    for one, role in _roles(loop, version):
        for figures in one["metrics"].get("policies", []):
            if figures["policy"] == role:
                return one["number"], figures
    return None, None


def _answers(loop: LoopState, version: int) -> dict[str, str]:
    """Return what a version answered to held-out prompts, by prompt."""
    found: dict[str, str] = {}
    for one, role in _roles(loop, version):
        for name in _SAMPLES:
            for sample in one["metrics"].get(name, []):
                if role in sample:
                    found.setdefault(sample["prompt"], sample[role])
    return found


def _ranked(
    session: Session, project_id: int, first: int, second: int, most: int
) -> list[SideBySide]:
    one, other = aliased(Completion), aliased(Completion)
    of_one, of_other = aliased(Policy), aliased(Policy)
    rows = session.exec(
        select(Prompt.id, Prompt.messages, one.text, other.text)
        .join(one, col(one.prompt_id) == col(Prompt.id))
        .join(other, col(other.prompt_id) == col(Prompt.id))
        .join(of_one, col(of_one.id) == col(one.policy_id))
        .join(of_other, col(of_other.id) == col(other.policy_id))
        .where(Prompt.project_id == project_id, of_one.version == first, of_other.version == second)
        .where(of_one.project_id == project_id, of_other.project_id == project_id)
        .order_by(col(one.id).desc())
        .limit(most * 20)
    ).all()
    # A prompt that was answered several times is shown once.
    by_prompt = {row[0]: row for row in reversed(rows)}
    return [
        SideBySide(messages[-1]["content"], mine, theirs, "ranked")
        for _, messages, mine, theirs in list(by_prompt.values())[:most]
    ]
