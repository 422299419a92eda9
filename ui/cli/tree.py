"""`rankloop up`: web server, worker and deliverer of webhooks as one process tree.

Each child leads a session of its own, so that a Ctrl-C reaches only this process, which then ends
the children in order. A child that outlives its parent, even one killed with -9, sees the end of
the pipe that the parent held open, and stops as if it had been asked to.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import click

from storage.errors import Unavailable
from ui.cli.frame import DONE, FAILED, Options

PIPE_VARIABLE = "RANKLOOP_UP_PIPE"
LOOK_SECONDS = 0.2
STOP_SECONDS = 15.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
HEALTHY_SECONDS = 120.0


@dataclass
class Child:
    """A child process that leads its own process group."""

    name: str
    command: list[str]
    pipe: int
    pause: float = FIRST_PAUSE_SECONDS
    started: float = 0.0
    start_at: float = 0.0
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    def start(self) -> None:
        """Start the process with the reading end of the parent's pipe."""
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(self.pipe,),
            env={**os.environ, PIPE_VARIABLE: str(self.pipe)},
        )

    def ended(self) -> int | None:
        """Return the exit code if the process has ended."""
        return None if self.process is None else self.process.poll()

    def next_pause(self) -> float:
        """Return the seconds to wait before a restart: doubled each time, unless it ran well."""
        healthy = time.monotonic() - self.started > HEALTHY_SECONDS
        pause = FIRST_PAUSE_SECONDS if healthy else self.pause
        self.pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        return pause

    def keep_running(self) -> None:
        """Start it again, after a pause, where it has ended."""
        if self.process is not None and (code := self.ended()) is not None:
            pause = self.next_pause()
            click.echo(
                f"The {self.name} ended (exit code {code}); it starts again in {pause:.0f} s.",
                err=True,
            )
            self.process, self.start_at = None, time.monotonic() + pause
        if self.process is None and time.monotonic() >= self.start_at:
            self.start()

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)


def run_up(options: Options, *, host: str | None, port: int | None) -> int:
    """Set up, start the children, and watch them until a signal; return the exit code.

    `host` and `port` are the web server's, where the settings do not say.
    """
    from ui.cli.setup import initialise
    from ui.web.server import listen

    settings = options.settings(host=host, port=port)
    # Before minutes of setting up: a port that is taken is said at once.
    if settings.port:
        listen(settings).close()
    initialise(settings, say=click.echo)
    stop = _stop_at_signals()
    reading_end, writing_end = os.pipe()
    base = [sys.executable, "-m", "ui.cli", *options.as_arguments()]
    # What is left to the settings stays so: the child reads them too.
    where = [] if host is None else ["--host", host]
    where += [] if port is None else ["--port", str(port)]
    server = Child("web server", [*base, "serve", *where], reading_end)
    others = [
        Child("worker", [*base, "worker"], reading_end),
        Child("deliverer of webhooks", [*base, "webhook", "deliver"], reading_end),
    ]
    try:
        server.start()
        return _watch(server, others, stop)
    finally:
        _end([server, *others])
        os.close(writing_end)
        os.close(reading_end)


def stop_with_parent() -> None:
    """Stop this process as SIGTERM would, once the `up` that started it is gone."""
    descriptor = os.environ.pop(PIPE_VARIABLE, None)
    if descriptor is None:
        return
    # Not to be inherited by this process's own children.
    os.set_inheritable(int(descriptor), False)

    def wait() -> None:
        while os.read(int(descriptor), 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="up-watch", daemon=True).start()


def _stop_at_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _watch(server: Child, others: list[Child], stop: threading.Event) -> int:
    """Start the others, and again if they end; end with the server. They never stop the pages."""
    while True:
        code = server.ended()
        if code is not None:
            raise Unavailable(
                f"The web server ended by itself (exit code {code}); its reason is above."
            )
        for other in others:
            other.keep_running()
        if stop.wait(LOOK_SECONDS):
            break
    click.echo("Stopping.", err=True)
    return DONE


def _end(children: list[Child]) -> int:
    for child in children:
        child.signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while any(child.process and child.ended() is None for child in children):
        if time.monotonic() > deadline:
            for child in children:
                child.signal(signal.SIGKILL)
            return FAILED
        time.sleep(LOOK_SECONDS)
    return DONE
