"""The audit log as a file: CSV for people's spreadsheets, or JSONL."""

import csv
import json
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Literal

from sqlmodel import Session

from labeling.audit.log import COLUMNS, AuditChoice, AuditRow
from labeling.events import record
from labeling.spreadsheets import defused
from storage.tables import Account

FileType = Literal["csv", "jsonl"]


def lines_of(rows: Iterable[AuditRow], file_type: FileType) -> Iterator[str]:
    """Yield the file's lines; a CSV's first has the columns, and its formulas are defused."""
    if file_type == "jsonl":
        for row in rows:
            yield json.dumps(row.as_dict(), ensure_ascii=False) + "\n"
        return
    yield _cells(COLUMNS)
    for row in rows:
        values = row.as_dict().values()
        yield _cells(["" if value is None else defused(str(value)) for value in values])


def _cells(values: Iterable[str]) -> str:
    line = StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def note_export(
    session: Session, *, account: Account | None, choice: AuditChoice, file_type: FileType
) -> None:
    """Record that the log leaves the server, and which part of it."""
    record(
        session,
        project_id=None,
        account_id=account.id if account else None,
        kind="audit.exported",
        file_type=file_type,
        kinds=sorted(choice.kinds),
        whose_id=choice.account_id,
        since=choice.since.isoformat() if choice.since else None,
        until=choice.until.isoformat() if choice.until else None,
    )
