"""What a withdrawal touches, in words: the same on the page and on the command line."""

from labeling.withdrawals.traces import SnapshotUse, Touched
from storage.plurals import counted


def lines_of(found: Touched) -> list[str]:
    """Return what a withdrawal touches, one fact a line."""
    of = f" of {', '.join(found.annotators)}" if found.annotators else ""
    lines = [
        f"{counted(found.judgments, 'judgment')}{of}, on {counted(found.tasks, 'task')}, "
        f"and {counted(found.demonstrations, 'demonstration')} no longer count."
    ]
    lines += [f"Used by {_named(one)}: {_rows(one)}." for one in found.snapshots]
    lines += [
        f"Used by round {one.number} ({one.state}), of snapshot {one.snapshot_id}."
        for one in found.rounds
    ]
    for policy in found.policies:
        how = "was trained on them" if policy.directly else "grew out of one that was"
        lines.append(f"Policy version {policy.version} ({policy.status}) {how}.")
    for export in found.exports:
        what = f"snapshot {export.snapshot_id}" if export.snapshot_id else "the whole project"
        lines.append(
            f"Exported on {export.at:%Y-%m-%d %H:%M} by {export.by}: {what}, {export.format}."
        )
    if len(lines) == 1:
        lines.append("No snapshot, round, policy or export has used them.")
    return lines


def _named(one: SnapshotUse) -> str:
    return f"snapshot {one.id} ({one.name})" if one.name else f"snapshot {one.id}"


def _rows(one: SnapshotUse) -> str:
    if one.judgments is None or one.demonstrations is None:
        return "its files cannot be read, so how many is not known"
    counts = [counted(one.judgments, "judgment")] if one.judgments else []
    counts += [counted(one.demonstrations, "demonstration")] if one.demonstrations else []
    return " and ".join(counts)
