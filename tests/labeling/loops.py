"""States of a loop without a database, for what is computed of them."""

from typing import Any

from labeling.loop_state import LoopState
from labeling.work_queue.freshness import Staleness


def a_policy(version: int, status: str = "retired", **more: Any) -> dict[str, Any]:
    """Return a policy as `policy_summaries` gives it."""
    return {"version": version, "status": status, "human_win_rate": None} | more


def a_round(number: int, state: str = "done", **more: Any) -> dict[str, Any]:
    """Return a round as `round_summaries` gives it; one that is done made version number + 1."""
    made = number + 1 if state == "done" else None
    return {
        "number": number,
        "state": state,
        "reason": "",
        "policy_version": made,
        "base_policy_version": number,
        "metrics": {},
    } | more


def a_loop(**more: Any) -> LoopState:
    """Return a loop in which nothing is wrong: version 2 is live, and tasks of it are ready."""
    values: dict[str, Any] = {
        "live": 2,
        "policies": [a_policy(1), a_policy(2, "live")],
        "rounds": [a_round(1)],
        "until_round": 40,
        "judgments_per_round": 100,
        "pool": Staleness(ready=50, stale=10, share=0.2, mean_age=0.1, judged=30),
    }
    return LoopState(**values | more)
