"""The folder that a worker shares with a job on another machine, and what each does in it.

The worker rewrites `alive` as long as it wants the job; the job watches what is in it, with its own
clock, and ends itself where that no longer changes or is gone. Nothing else tells a job on another
machine that its worker was killed. The job appends what it has to say to `lines.jsonl`.
"""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from storage.errors import Conflict

JOBS = "jobs"  # the folder under home
LEFT_SECONDS = 86_400.0  # without a change after which a job's folder is nobody's
SHARED = "shared.json"  # a folder with it is watched
ALIVE = "alive"
LINES = "lines.jsonl"
CLAIMED = "claimed"
BEATS = 12  # rewritings of `alive` within the seconds after which a job ends itself
LONGEST_BEAT = 10.0  # seconds
GONE = 3  # looks in a row at which a file of a shared disk is missing


def is_shared(folder: Path) -> bool:
    """Say whether another machine's worker waits for what is made in the folder."""
    return (folder / SHARED).exists()


# -- the worker's side -------------------------------------------------------------------------


def make_job_folder(home: Path, name: str) -> Path:
    """Make the folder of a new job under home, which the job's machine may see, and return it.

    What workers that were killed left there a day ago or longer is removed.
    """
    for folder in (home / JOBS).glob("*"):
        if time.time() - _newest(folder) > LEFT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
    made = home / JOBS / name
    made.mkdir(parents=True)
    return made


def _newest(folder: Path) -> float:
    times = [0.0]
    for path in (folder, *folder.rglob("*")):
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times)


@contextmanager
def kept_alive(folder: Path, seconds: float) -> Iterator[None]:
    """Let the job of the folder run during the block; it ends itself within `seconds` after."""
    (folder / SHARED).write_text(json.dumps({"seconds": seconds}), encoding="utf-8")
    _beat(folder, 0)
    ended = threading.Event()

    def keep() -> None:
        count = 0
        while not ended.wait(_pause(seconds)):
            count += 1
            # A disk that is full for a moment is no reason to end anything.
            with suppress(OSError):
                _beat(folder, count)

    thread = threading.Thread(target=keep, name="job-alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(OSError):
            (folder / ALIVE).unlink()


class HeardLines:
    """What the job has said so far: each whole line once."""

    def __init__(self, folder: Path) -> None:
        """Begin at the file's start; it may not be there yet."""
        self._file = folder / LINES
        self._read = 0

    def new(self) -> list[str]:
        """Return the lines that were written since the last call."""
        try:
            with self._file.open("rb") as stream:
                stream.seek(self._read)
                content = stream.read()
        except OSError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode(errors="replace").splitlines()


def _beat(folder: Path, count: int) -> None:
    part = folder / f"{ALIVE}.part"
    part.write_text(str(count), encoding="utf-8")
    os.replace(part, folder / ALIVE)


def _pause(seconds: float) -> float:
    return min(seconds / BEATS, LONGEST_BEAT)


# -- the job's side ----------------------------------------------------------------------------


def exit_when_left(folder: Path) -> None:
    """End this process soon after the folder's worker wants it no more.

    Call it first of all, before the slow imports. In a folder that is not shared it does nothing;
    where there is no folder any more, it ends the process at once.
    """
    if not folder.is_dir():
        _leave(f"The folder {folder} of this job is gone, or this machine does not see it.")
    if not is_shared(folder):
        return
    seconds = float(json.loads((folder / SHARED).read_text(encoding="utf-8"))["seconds"])
    threading.Thread(target=_watch, args=(folder, seconds), name="job-watch", daemon=True).start()


def claim(folder: Path) -> None:
    """Take the folder's job for this process; raise `Conflict` where another one has it.

    A job that a scheduler starts a second time would write over what the first one makes.
    """
    try:
        os.close(os.open(folder / CLAIMED, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError as error:
        raise Conflict(
            "This job was started twice; let launch_command start it once (several processes by "
            "torchrun or accelerate launch), and not again when it fails."
        ) from error


def say(folder: Path, message: dict[str, Any]) -> None:
    """Tell the worker something, in one line."""
    # Opened each time: a network file system shows others what was written when a file is closed.
    with (folder / LINES).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(message) + "\n")


def _watch(folder: Path, seconds: float) -> None:
    seen, at, missing = "", time.monotonic(), 0
    while time.monotonic() - at < seconds and missing < GONE:
        time.sleep(_pause(seconds))
        try:
            found = (folder / ALIVE).read_text(encoding="utf-8")
        except FileNotFoundError:
            missing += 1
            continue
        except (OSError, UnicodeError):
            continue
        missing = 0
        if found != seen:
            seen, at = found, time.monotonic()
    _leave("The worker does not wait for this job any more; it has ended.")


def _leave(sentence: str) -> None:
    with suppress(OSError):
        sys.stderr.write(f"{sentence}\n")
        sys.stderr.flush()
    os._exit(1)
