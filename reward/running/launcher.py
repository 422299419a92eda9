"""Start a module in several processes, hear what they print, and let none outlive the others.

On CPU they are started by `torchrun` (`accelerate launch --cpu` starts a single one unless there is
MPI), on GPUs by `accelerate launch` with a config of `reward/launch/` or one of the user's own.
"""

import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import psutil

from reward.running.parent_watch import NAMED_PIPE_VARIABLE
from reward.training.allocator import allocator_environment
from reward.training.trainer_process import cores, describe_exit
from storage.errors import BadInput, Unavailable

GRACE = 5.0  # seconds that the launcher has to end its processes before they are killed
LOOK = 1.0  # seconds between two looks at a launcher that prints nothing
LAST_LINES = 500  # of stderr, in which the launcher's last table is looked for
# Of the launcher on stderr; and of DDP, which is told to look for weights that get no gradient (a
# mixture's experts) and says so where there are none.
OWN_LINES = re.compile(r"^[EWI]\d{4} .*torch/distributed/|^\[rank\d+\]:\[W.*reducer\.cpp")
FAILED = "failed (exitcode"  # the launcher's line after which only its own traceback follows
ENDED = re.compile(r"rank\s*:\s*(\d+).*?exitcode\s*:\s*(-?\d+)", re.DOTALL)
ROOT = Path(__file__).resolve().parents[2]


class ProcessesFailed(Unavailable):
    """Say how the first process that ended badly ended."""


@dataclass(frozen=True)
class Launch:
    """How processes are started."""

    processes: int  #: that train together
    device: str  #: cpu or cuda
    config: str = ""  #: a file for `accelerate launch`, or the name of one in reward/launch
    accelerate: bool = False  #: whether `accelerate launch` starts them on CPU too
    threads: int = 0  #: CPU threads of all of them; 0: all cores
    silent_seconds: float = 900.0  #: without a line on either stream after which they count as hung


def launch_command(launch: Launch, module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module in so many processes, on a port that is free.

    Raises `BadInput` where there is no such config, or the device is none that processes share.
    """
    if launch.device not in ("cpu", "cuda"):
        raise BadInput(
            f"Several processes train on CPU or on GPUs of NVIDIA, not on {launch.device}; set "
            "device to cpu, or processes to 1."
        )
    count, port = str(launch.processes), str(_free_port())
    if launch.device == "cpu" and not launch.config and not launch.accelerate:
        start = ["torch.distributed.run", "--nproc_per_node", count,
                 "--master_addr", "127.0.0.1", "--master_port", port]  # fmt: skip
    else:
        start = ["accelerate.commands.launch", "--config_file", str(config_file(_config(launch))),
                 "--num_processes", count, "--main_process_port", port]  # fmt: skip
    return [sys.executable, "-m", *start, "-m", module, *arguments]


def _config(launch: Launch) -> str:
    if launch.config:
        return launch.config
    if launch.processes == 1:
        return "one"
    return "ddp" if launch.device == "cuda" else "cpu2"


def config_file(name: str) -> Path:
    """Return the file of a config's name, or of a path; `ddp` where it is empty."""
    own = Path(str(files("reward.launch").joinpath(f"{name or 'ddp'}.yaml")))
    found = own if own.is_file() else Path(name).expanduser()
    if not found.is_file():
        known = ", ".join(sorted(one.stem for one in own.parent.glob("*.yaml")))
        raise BadInput(
            f"Setting launch_config {name!r} is neither a file nor one of {known}; set it to one."
        )
    return found.absolute()


def run_together(
    launch: Launch,
    module: str,
    *arguments: str,
    on_line: Callable[[str], None],
    on_error: Callable[[str], None] = lambda line: None,
) -> None:
    """Run a module in several processes until all have ended well.

    `on_line` hears their stdout, and `on_error`, in another thread, their stderr without what the
    launcher says itself, each line once. Whatever ends this call, an exception of `on_line`
    included, ends all of them. Raises `ProcessesFailed` naming the exit where one ends badly, and
    `Unavailable` where both streams are silent for too long.
    """
    with TemporaryDirectory(prefix="rankloop-launch-") as place:
        pipe = Path(place) / "alive"
        os.mkfifo(pipe)
        # Open for reading too, so that opening does not wait for the processes.
        held = os.open(pipe, os.O_RDWR)
        os.set_inheritable(held, False)
        try:
            _Running(launch, [module, *arguments], pipe, on_error).until_ended(on_line)
        finally:
            os.close(held)


class _Running:
    """A launcher and everything that it started."""

    def __init__(
        self,
        launch: Launch,
        module: Sequence[str],
        pipe: Path,
        on_error: Callable[[str], None],
    ) -> None:
        self.launch = launch
        self.lines: queue.Queue[str] = queue.Queue()
        self.errors: deque[str] = deque(maxlen=LAST_LINES)
        self.relayed: set[str] = set()
        self.last_sign = time.monotonic()
        self.failed = False
        self.on_error = on_error
        self.process = subprocess.Popen(
            launch_command(launch, *module),
            env=_environment(launch, pipe),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.readers = [
            read_lines(self.process.stdout, self.lines.put),
            read_lines(self.process.stderr, self._hear_error),
        ]

    def until_ended(self, on_line: Callable[[str], None]) -> None:
        """Relay lines until the launcher is gone and nothing more is to be read."""
        try:
            self._relay(on_line)
        finally:
            self._end()
        while not self.lines.empty():
            on_line(self.lines.get())
        if self.process.returncode != 0:
            raise ProcessesFailed(f"Training in {self.launch.processes} processes: {self._why()}.")

    def _hear_error(self, line: str) -> None:
        self.errors.append(line)
        self.failed = self.failed or FAILED in line
        if self.failed or OWN_LINES.match(line):
            return
        # Also where another process has said the same: both are alive.
        self.last_sign = time.monotonic()
        if line not in self.relayed:
            self.relayed.add(line)
            self.on_error(line)

    def _relay(self, on_line: Callable[[str], None]) -> None:
        while self.process.poll() is None:
            try:
                line = self.lines.get(timeout=LOOK)
            except queue.Empty:
                if time.monotonic() - self.last_sign > self.launch.silent_seconds:
                    raise Unavailable(
                        f"Training in {self.launch.processes} processes said nothing for "
                        f"{self.launch.silent_seconds / 60:.0f} minutes and was ended; look for a "
                        "process that hangs."
                    ) from None
                continue
            on_line(line)
            self.last_sign = time.monotonic()

    def _end(self) -> None:
        """Ask the launcher to end its processes, which lead sessions of their own; then kill."""
        family = [self.process.pid]
        with suppress(psutil.Error):
            family += [one.pid for one in psutil.Process(self.process.pid).children(recursive=True)]
        children = [one for pid in family if (one := _process(pid)) is not None]
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=GRACE)
        for one in children:
            with suppress(psutil.Error):
                one.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join(timeout=GRACE)

    def _why(self) -> str:
        """Return which process ended how: the launcher's last table names the first that did."""
        found = ENDED.findall("\n".join(self.errors).partition("Root Cause")[2])
        if found:
            rank, code = found[0]
            return f"process {rank} ended with {describe_exit(int(code))}"
        return f"the launcher ended with {describe_exit(self.process.returncode)}"


def _environment(launch: Launch, pipe: Path) -> dict[str, str]:
    threads = launch.threads or cores()
    environment: Mapping[str, str] = {
        NAMED_PIPE_VARIABLE: str(pipe),
        "OMP_NUM_THREADS": str(max(1, threads // launch.processes)),
        "OMP_WAIT_POLICY": "passive",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(
            [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])]
        ),
    }
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if launch.device == "cpu" else {}
    return {**os.environ, **environment, **hidden, **allocator_environment(os.environ)}


def read_lines(stream: IO[str] | None, hear: Callable[[str], None]) -> threading.Thread:
    """Let a thread hear every line of a stream until its end."""
    assert stream is not None

    def read() -> None:
        with stream:
            for line in stream:
                hear(line.rstrip("\n"))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _process(pid: int) -> psutil.Process | None:
    with suppress(psutil.Error):
        return psutil.Process(pid)
    return None


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
