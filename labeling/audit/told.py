"""What an event's detail says, in one line of plain words."""

from typing import Any

#: names under which a detail holds the account that a deed was about
WHOM = ("whose_id", "created_id", "annotator_id")
#: numbers of rows, and hashes, say nothing to a reader of the log
_SILENT = frozenset(
    {*WHOM, "mark", "sha256", "rows_sha256", "before", "after", "values", "section", "changes"}
)
_MOST = 12


def about(kind: str, detail: dict[str, Any]) -> int | None:
    """Return the account that a deed was about, where it was about one."""
    found = next((detail[name] for name in WHOM if detail.get(name) is not None), None)
    return found if isinstance(found, int) and not kind.startswith("sign_in.opened") else None


def told(kind: str, detail: dict[str, Any]) -> str:
    """Return the detail as `name: value`, and what was changed as `name: before → after`."""
    if kind == "project.changed":
        return "; ".join(_changed(name, *each) for name, each in sorted(detail.items()))
    parts = _settings(detail) if "values" in detail else _roles(detail)
    parts += [
        f"{name.replace('_', ' ')}: {_plain(value)}"
        for name, value in sorted(detail.items())
        if name not in _SILENT and value not in (None, "", [], {})
    ]
    return "; ".join(parts)


def _settings(detail: dict[str, Any]) -> list[str]:
    """Return the fields of a section of settings that were changed."""
    values, before = detail["values"], detail.get("before")
    section = str(detail.get("section", ""))
    if not isinstance(before, dict):
        return [f"{section} (what it was before was not yet kept)"]
    return [
        _changed(f"{section}.{name}", before.get(name), value)
        for name, value in sorted(values.items())
        if before.get(name) != value
    ] or [f"{section}: nothing changed"]


def _roles(detail: dict[str, Any]) -> list[str]:
    if "before" not in detail and "after" not in detail:
        return []
    before, after = detail.get("before"), detail.get("after")
    return [f"{_role(before)} → {_role(after)}"]


def _role(value: object) -> str:
    # None: as everywhere else; "": no business in the project.
    return "as elsewhere" if value is None else str(value) or "none"


def _changed(name: str, before: object = None, after: object = None) -> str:
    return f"{name}: {_plain(before)} → {_plain(after)}"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        more = f" and {len(value) - _MOST} more" if len(value) > _MOST else ""
        return ", ".join(map(_plain, value[:_MOST])) + more
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    return "nothing" if value in (None, "") else str(value)
