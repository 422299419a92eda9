"""Export all that is kept of one person as a ZIP file of JSON lines and a README."""

import json
import zipfile
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Engine
from sqlmodel import Session

from labeling.events import record
from labeling.people.sign_ins import require_own_or_admin
from labeling.privacy.kept import KEPT, Kept, rows_of
from storage.clock import now
from storage.engine import reading, writing
from storage.errors import NotFound, Unavailable
from storage.plurals import counted
from storage.tables import Account

_README = """What this server keeps of the account {name} ({when} UTC).

Each file has one JSON object a line; a file with nothing in it is left out. Times are UTC. Numbers
that end in _id name rows of the database. Passwords and keys are kept only as hashes and are in no
file, and neither is what tells of other people.

{files}

Not in here: the prompts and completions that were judged (they are the project's), the lines of
the server's own log files, and what was exported or backed up before.
"""


def export_person(
    engine: Engine, *, account_id: int, by: Account | None, out: Path | BinaryIO
) -> dict[str, int]:
    """Write the ZIP file; return how many rows each of its files has.

    `by` asks: the person themselves, an admin, or None (the server's shell). Raises `NotAllowed`,
    `NotFound`, `Unavailable` where the file cannot be written. The export is recorded.
    """
    with reading(engine) as session:
        account = session.get(Account, account_id)
        if account is None:
            raise NotFound(f"There is no account {account_id}; list them again.")
        require_own_or_admin(account, by)
        try:
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
                counts = {kept.file: _write(archive, session, kept, account_id) for kept in KEPT}
                archive.writestr("README.txt", _readme(account.name, counts))
        except OSError as error:
            raise Unavailable(f"{out} cannot be written ({error.strerror}).") from error
    with writing(engine) as session:
        record(
            session,
            project_id=None,
            account_id=by.id if by else None,
            kind="account.exported",
            whose_id=account_id,
        )
    return {name: count for name, count in counts.items() if count}


def _write(archive: zipfile.ZipFile, session: Session, kept: Kept, account_id: int) -> int:
    rows = rows_of(session, kept, account_id=account_id)
    first = next(rows, None)
    if first is None:
        return 0
    count = 0
    entry = zipfile.ZipInfo(f"{kept.file}.jsonl", date_time=now().timetuple()[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(entry, "w", force_zip64=True) as file:
        for row in chain([first], rows):
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
            count += 1
    return count


def _readme(name: str, counts: dict[str, int]) -> str:
    files = "\n".join(
        f"{kept.file}.jsonl ({counted(counts[kept.file], 'row')}): {kept.words}"
        for kept in KEPT
        if counts[kept.file]
    )
    return _README.format(name=name, when=f"{now():%Y-%m-%d %H:%M}", files=files)
