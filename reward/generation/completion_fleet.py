"""Several OpenAI-compatible servers of one model, asked as if they were one.

A request goes to the server that has the fewest under way, so a slow one gets less. One that fails,
or does not answer in time, is left out for a while that doubles, and its request goes to another.
A policy is made known to each server just before it is first asked for it: a server that comes back
without it, or joins late, gets it then.
"""

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reward.generation.completion_server import CompletionServer, Refused, ServerSettings
from reward.running.launch_template import LaunchTemplate
from storage.errors import BadInput, Unavailable
from storage.settings import Settings

log = logging.getLogger(__name__)

LONGEST_PAUSE = 300.0  # seconds that a server is left out at most
REQUEST_IS_WRONG = (400, 413, 422)  # answers that another server would give too
NOT_FOUND = 404  # the answer of a server that does not have the model

Publish = Callable[[CompletionServer, str, Path], None]


@dataclass
class _Member:
    """A server of the fleet, and how it has been doing."""

    server: CompletionServer
    running: int = 0  #: requests under way
    failures: int = 0  #: since it last answered
    out_until: float = 0.0  #: monotonic; asked by nobody before
    has: set[str] = field(default_factory=set)  #: models that it is known to serve
    loading: threading.Lock = field(default_factory=threading.Lock)


class CompletionFleet:
    """Looks like one `CompletionServer`; raises `Unavailable` only where no server answers."""

    def __init__(
        self, urls: Sequence[str], settings: ServerSettings, publish: Publish | None = None
    ) -> None:
        """Take the servers' URLs; `publish` makes a policy known in place of vLLM's own way."""
        self.settings = settings
        # Another server is a better second attempt than the same one.
        once = replace(settings, attempts=1)
        self.members = [_Member(CompletionServer(url, once)) for url in urls]
        self.publish = publish
        self._folders: dict[str, Path] = {}
        self._base = ""
        self._turn = 0
        self._changed = threading.Condition()

    @property
    def requests_at_once(self) -> int:
        """Return how many requests all servers take together."""
        return self.settings.requests_at_once * len(self.members)

    def base_model(self) -> str:
        """Return the name of the model that every server was started with.

        Raises `BadInput` where two servers have different ones, `Unavailable` where none answers.
        """
        names: dict[str, str] = {}
        for member, name in self._of_each(lambda member: member.server.base_model()):
            names[name] = member.server.url
            member.has.add(name)
        if len(names) > 1:
            told = ", ".join(f"{name!r} at {url}" for name, url in names.items())
            raise BadInput(
                f"The servers of setting generator have different models ({told}); name servers of "
                "one model."
            )
        self._base = next(iter(names))
        return self._base

    def load_adapter(self, name: str, folder: Path) -> None:
        """Make a policy known to every server that answers; raise `Unavailable` where none does."""
        self._folders[name] = folder
        try:
            self._of_each(lambda member: self._ensure(member, name))
        except Unavailable:
            del self._folders[name]
            raise

    def unload_adapter(self, name: str) -> None:
        """Let every server forget a policy, unless it was made known by a command."""
        self._folders.pop(name, None)
        for member in self.members:
            if name in member.has and self.publish is None:
                with suppress(Unavailable):
                    member.server.unload_adapter(name)
                member.has.discard(name)

    def complete(self, request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the choices of a completion request, from whichever server answers."""
        avoided: list[_Member] = []
        last: Unavailable | None = None
        waits = 0
        while waits < self.settings.attempts:
            member = self._take(avoided)
            if member is None:
                time.sleep(self.settings.pause_seconds * 2**waits)
                waits, avoided = waits + 1, []
                continue
            try:
                found = self._asked(member, request)
            except Unavailable as error:
                if isinstance(error, Refused) and error.status in REQUEST_IS_WRONG:
                    raise
                last = error
                self._leave_out(member, error)
                avoided.append(member)
            else:
                member.failures = 0
                return found
            finally:
                self._give_back(member)
        raise last or Unavailable(
            f"None of the {len(self.members)} servers of setting generator answers; look at their "
            "logs, or set generator to transformers."
        )

    def wrong(self, what: str) -> Unavailable:
        """Return the error of an answer that no completions API gives."""
        return Unavailable(
            f"A server of {', '.join(one.server.url for one in self.members)} {what}; check that "
            "each speaks OpenAI's completions API."
        )

    def _asked(self, member: _Member, request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        name = str(request["model"])
        self._ensure(member, name)
        try:
            return member.server.complete(request)
        except Refused as error:
            if error.status != NOT_FOUND:
                raise
            # It was started anew, and knows nothing of what it was told before.
            member.has.clear()
            self._ensure(member, name)
            return member.server.complete(request)

    def _ensure(self, member: _Member, name: str) -> None:
        """See to it that a server has a model; raise `Unavailable` where it cannot have it."""
        with member.loading:
            if name in member.has:
                return
            folder = self._folders.get(name)
            if folder is None:
                own = member.server.base_model()
                if own != name:
                    raise Unavailable(
                        f"The server {member.server.url} has the model {own!r}, not {name!r}; "
                        "start it with that, or take it out of setting generator."
                    )
            elif self.publish is not None:
                self.publish(member.server, name, folder)
            else:
                member.server.load_adapter(name, folder)
            member.has.add(name)

    def _of_each(self, ask: Callable[[_Member], Any]) -> list[tuple[_Member, Any]]:
        """Return what servers answer; those that fail are left out. Raises where all do."""
        found, last = [], None
        for member in self.members:
            try:
                found.append((member, ask(member)))
            except Unavailable as error:
                self._leave_out(member, error)
                last = error
        if not found:
            raise last or self.wrong("answered nothing")
        return found

    def _take(self, avoided: Sequence[_Member]) -> _Member | None:
        """Return the least busy server, when it has room; None where all are left out."""
        with self._changed:
            while True:
                moment = time.monotonic()
                usable = [
                    one
                    for one in self.members[self._turn :] + self.members[: self._turn]
                    if one.out_until <= moment and all(one is not other for other in avoided)
                ]
                if not usable:
                    return None
                member = min(usable, key=lambda one: one.running)
                if member.running < self.settings.requests_at_once:
                    member.running += 1
                    self._turn = (self.members.index(member) + 1) % len(self.members)
                    return member
                self._changed.wait(timeout=1.0)

    def _give_back(self, member: _Member) -> None:
        with self._changed:
            member.running -= 1
            self._changed.notify_all()

    def _leave_out(self, member: _Member, error: Unavailable) -> None:
        with self._changed:
            moment = time.monotonic()
            if member.out_until > moment:  # another request has found out already
                return
            pause = min(self.settings.left_out_seconds * 2**member.failures, LONGEST_PAUSE)
            member.failures += 1
            member.out_until = moment + pause
            member.has.clear()
            self._changed.notify_all()
        log.warning("%s It is left out for %.3g s.", error, pause)


def completion_servers(settings: Settings) -> CompletionServer | CompletionFleet:
    """Return the server, or servers, of the setting `generator`; raise `BadInput`."""
    urls = settings.generator.replace(",", " ").split()
    asked = ServerSettings(
        timeout_seconds=settings.generator_seconds, requests_at_once=settings.generator_requests
    )
    if len(urls) == 1 and not settings.publish_command:
        return CompletionServer(urls[0], asked)
    publish = _by_command(settings) if settings.publish_command else None
    return CompletionFleet(urls, asked, publish)


def _by_command(settings: Settings) -> Publish:
    template = LaunchTemplate("publish_command", settings.publish_command, settings.launch_shell)
    template.check()

    def publish(server: CompletionServer, name: str, folder: Path) -> None:
        if name in server.models():
            return
        values = {"url": server.url, "name": name, "folder": str(folder.absolute())}
        values |= {"home": str(settings.home), "project": settings.project}
        try:
            done = subprocess.run(
                template.command(values),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=settings.generator_seconds,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"publish_command failed for {server.url} ({error}).") from error
        if done.returncode != 0:
            said = " ".join(done.stderr.split())[-200:] or "it said nothing"
            raise Unavailable(
                f"publish_command ended with exit code {done.returncode} for {server.url}: {said}."
            )
        if name not in server.models():
            raise Unavailable(
                f"publish_command ended well, but {server.url} does not list {name} under "
                "/v1/models; let it wait until the server has the policy."
            )

    return publish
