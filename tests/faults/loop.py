"""What the loop of a site has come to, read from its tables; and how it is left at the end."""

from pathlib import Path

from sqlmodel import col, func, select

from storage.engine import build_engine, reading
from storage.tables import Policy, PolicyStatus, Round, RoundState
from tests.faults.invariants import broken
from tests.faults.site import Site
from tests.faults.table import Row
from tests.faults.told import Team

ENDED = (RoundState.DONE, RoundState.FAILED, RoundState.REJECTED)


def ended_rounds(site: Site) -> dict[str, int]:
    """Return how many rounds ended how."""
    # An engine of its own: the database may just have been killed under the other.
    engine = build_engine(site.settings.url)
    with reading(engine) as session:
        found = session.exec(
            select(Round.state, func.count())
            .where(col(Round.state).in_(ENDED))
            .group_by(col(Round.state))
        ).all()
    engine.dispose()
    return {str(state): count for state, count in found}


def done_rounds(site: Site) -> int:
    """Return how many rounds have published."""
    return ended_rounds(site).get("done", 0)


def until_another_round(site: Site) -> None:
    """Wait until one more round has published."""
    before = done_rounds(site)
    site.until(lambda: done_rounds(site) > before, "another round is published")


def until_another_judgment(site: Site, team: Team) -> None:
    """Wait until somebody is told that their judgment is saved."""
    before = len(team.told.acknowledged)
    site.until(lambda: len(team.told.acknowledged) > before, "a judgment is acknowledged")


def live_checkpoint(site: Site) -> Path:
    """Return the folder of the live policy's checkpoint."""
    with reading(site.engine) as session:
        uri = session.exec(
            select(Policy.checkpoint_uri).where(Policy.status == PolicyStatus.LIVE)
        ).one()
    return site.settings.home / uri


def what_is_broken(site: Site, team: Team) -> list[str]:
    """End everything and return each invariant that does not hold."""
    team.end()
    site.stop()
    with reading(site.engine) as session:
        return broken(session, team.told.acknowledged, site.settings.home)


def came_through(
    site: Site, team: Team, *, fault: str, times: str, ready_seconds: float, seen: str
) -> Row:
    """End everything and return the fault's line of the table; every invariant must hold."""
    rounds, wrong = ended_rounds(site), what_is_broken(site, team)
    assert wrong == [], wrong
    return Row(
        fault=fault,
        times=times,
        acknowledged=len(team.told.acknowledged),
        rounds=in_words(rounds),
        ready_seconds=ready_seconds,
        seen=seen,
    )


def in_words(rounds: dict[str, int]) -> str:
    """Return counts of rounds for the table."""
    return ", ".join(f"{count} {state}" for state, count in sorted(rounds.items()))
