"""What a withdrawal touches, in words: the same on the page and on the command line."""

from collections.abc import Sequence

from labeling.withdrawals.traces import ExportUse, SnapshotUse, Touched
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
    lines += _exports(found.exports)
    if len(lines) == 1:
        lines.append("No snapshot, round, policy or export has used them.")
    return lines


def _exports(exports: Sequence[ExportUse]) -> list[str]:
    """Return a line for each snapshot, format and exporter, and how often where it is not once."""
    alike: dict[tuple[int | None, str, str], list[ExportUse]] = {}
    for export in exports:
        alike.setdefault((export.snapshot_id, export.format, export.by), []).append(export)
    lines = []
    for (snapshot_id, format, by), some in alike.items():
        what = f"snapshot {snapshot_id}" if snapshot_id else "the whole project"
        newest = max(export.at for export in some)
        often = f"{len(some)} times, last " if len(some) > 1 else ""
        lines.append(f"Exported {often}on {newest:%Y-%m-%d %H:%M} by {by}: {what}, {format}.")
    return lines


def _named(one: SnapshotUse) -> str:
    return f"snapshot {one.id} ({one.name})" if one.name else f"snapshot {one.id}"


def _rows(one: SnapshotUse) -> str:
    if one.judgments is None or one.demonstrations is None:
        return "its files cannot be read, so how many is not known"
    counts = [counted(one.judgments, "judgment")] if one.judgments else []
    counts += [counted(one.demonstrations, "demonstration")] if one.demonstrations else []
    return " and ".join(counts)
