"""What must hold of the loop whatever was killed, checked in the tables and files themselves."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sqlmodel import Session, col, func, select

from benchmarks.labeling_invariants import Acknowledged
from benchmarks.labeling_invariants import broken as broken_labeling
from storage import blobs
from storage.errors import Unavailable
from storage.tables import (
    Event,
    Judgment,
    Policy,
    PolicyStatus,
    Round,
    RoundState,
    Snapshot,
)


def broken(session: Session, acknowledged: Sequence[Acknowledged], home: Path) -> list[str]:
    """Return every sentence that does not hold, with what breaks it.

    `acknowledged` has its ranks by place, as they were given.
    """
    labeling = broken_labeling(session, _by_position(session, acknowledged))
    rules = {
        **labeling,
        "there is one live policy": _live(session),
        "no round twice": _rounds(session),
        "every published policy is of one round that is done": _published(session),
        "every published checkpoint's hashes hold": _checkpoints(session, home),
        "every snapshot that a finished round trained on holds": _snapshots(session, home),
    }
    return [f"{rule}: {cases[:3]}" for rule, cases in rules.items() if cases]


def _by_position(session: Session, told: Sequence[Acknowledged]) -> list[Acknowledged]:
    orders = dict(session.exec(select(Judgment.nonce, Judgment.display_order)).all())
    return [
        Acknowledged(one.nonce, _in_position_order(one.ranks, orders.get(one.nonce)))
        for one in told
    ]


def _in_position_order(by_place: tuple[int, ...], order: Sequence[int] | None) -> tuple[int, ...]:
    # Place p shows position order[p].
    if order is None:
        return by_place
    found = dict(zip(order, by_place, strict=True))
    return tuple(found[position] for position in sorted(found))


def _live(session: Session) -> list[str]:
    live = session.exec(select(Policy.version).where(Policy.status == PolicyStatus.LIVE)).all()
    return [] if len(live) == 1 else [f"live are {list(live)}"]


def _rounds(session: Session) -> list[str]:
    numbers = session.exec(select(Round.number).order_by(col(Round.number))).all()
    wrong = [] if list(numbers) == list(range(1, len(numbers) + 1)) else [f"numbers {numbers}"]
    ended = [RoundState.DONE, RoundState.FAILED, RoundState.REJECTED]
    running = session.exec(select(Round.number).where(col(Round.state).not_in(ended))).all()
    if len(running) > 1:
        wrong.append(f"running are {list(running)}")
    steps = Counter(
        (detail["round"], detail["came_from"])
        for detail in session.exec(select(Event.detail).where(Event.kind == "round.advanced"))
    )
    return wrong + [f"round {number} left {step} {n} times" for (number, step), n in steps.items()
                    if n > 1]  # fmt: skip


def _published(session: Session) -> list[str]:
    done = set(session.exec(select(Round.id).where(Round.state == RoundState.DONE)).all())
    policies = session.exec(select(Policy).where(col(Policy.round_id).is_not(None))).all()
    counts = Counter(each.round_id for each in policies)
    wrong = [f"round {key} has {counts[key]} policies" for key in done if counts[key] != 1]
    wrong += [f"policy {each.version} is of round {each.round_id}, which is not done"
              for each in policies if each.round_id not in done]  # fmt: skip
    versions = sorted(session.exec(select(Policy.version)).all())
    highest = session.exec(select(func.max(Policy.version))).one()
    return wrong + ([] if versions == list(range(1, highest + 1)) else [f"versions {versions}"])


def _checkpoints(session: Session, home: Path) -> list[str]:
    statement = select(Policy.checkpoint_uri).where(col(Policy.round_id).is_not(None))
    return _unsound(list(session.exec(statement).all()), home)


def _snapshots(session: Session, home: Path) -> list[str]:
    statement = (
        select(Snapshot.uri)
        .join(Round, col(Round.snapshot_id) == col(Snapshot.id))
        .where(Round.state == RoundState.DONE)
    )
    return _unsound(list(session.exec(statement).all()), home)


def _unsound(uris: list[str], home: Path) -> list[str]:
    wrong = []
    for uri in uris:
        try:
            blobs.verify(home, uri)
        except Unavailable as error:
            wrong.append(str(error))
    return wrong
