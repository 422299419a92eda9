"""Label Studio and Potato as servers of their own, spoken to by their own HTTP endpoints.

Each is installed from PyPI into a virtual environment under the work folder and started by its own
command with its own defaults (Label Studio: SQLite; Potato: a JSON file for each annotator).
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from benchmarks.pages import free_port

LABEL_STUDIO = "label-studio==1.23.2"
POTATO = "potato-annotation==2.12.1"
STARTED_WITHIN = 300.0  # seconds: Label Studio migrates its database at the first start
_LEAD, _PASSWORD = "lead@example.org", "correct horse battery staple"
_TOKEN = "0123456789012345678901234567890123456789"
_RANKER = (
    '<View><Text name="prompt" value="$prompt"/>'
    '<List name="answers" value="$items" title="Answers"/>'
    '<Ranker name="ranking" toName="answers"/></View>'
)


class ToolFailed(Exception):
    """A server answered otherwise than it should."""


class Annotator(Protocol):
    """Somebody who has a task open."""

    async def open(self) -> None:
        """Sign in and open the first task."""

    async def submit(self) -> tuple[str, float]:
        """Submit; return the task that was open, and the seconds until the next one was."""

    async def again(self) -> None:
        """Load the page again after an error."""

    async def close(self) -> None:
        """Go."""


class Tool:
    """A server in a process of its own."""

    name: str
    requirement: str
    stores: str

    def __init__(
        self, work: Path, tasks: Sequence[tuple[str, list[str]]], *, annotators: int
    ) -> None:
        """Start it with these tasks (a prompt and its completions), each wanted by one of so many.

        What it keeps is under `work`.
        """
        self.venv = work / self.requirement.partition("=")[0]
        self.run = f"{time.time_ns():x}"
        self.folder = self.keep_in(work)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.annotators = annotators
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.tasks = tasks
        install(self.venv, self.requirement)
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                self.command(),
                env={**os.environ, **self.environment()},
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def keep_in(self, work: Path) -> Path:
        """Return the folder of what the server stores: a new one."""
        return work / f"{self.venv.name}-{self.run}"

    def command(self) -> list[str]:
        """Return the command that serves."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return what is added to the environment."""
        return {}

    def fill(self) -> None:
        """Store the tasks, where the command has not done so."""

    def annotator(self, number: int) -> Annotator:
        """Return an annotator who has not signed in yet."""
        raise NotImplementedError

    def wait(self, path: str) -> None:
        """Return once the server answers; raise `ToolFailed` with its last words where it ends."""
        deadline = time.monotonic() + STARTED_WITHIN
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"{self.url}{path}", timeout=5):
                return
            time.sleep(0.5)
        words = (self.folder / "log").read_text(encoding="utf-8", errors="replace")[-1500:]
        raise ToolFailed(f"{self.name} did not start within {STARTED_WITHIN:.0f} s: {words}")

    def stop(self) -> None:
        """End the server."""
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def install(venv: Path, requirement: str) -> None:
    """Make the virtual environment with the requirement, unless it is there already."""
    if (venv / "installed").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin" / "pip"), "install", "--quiet", requirement]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolFailed(f"{requirement} cannot be installed: {done.stderr.strip()[-800:]}")
    (venv / "installed").touch()


class LabelStudio(Tool):
    """Label Studio: the ranker; next task and annotation by its REST API."""

    name, requirement = "Label Studio 1.23.2", LABEL_STUDIO
    stores = "rows in SQLite: the annotation, the task's counters, a lock of the task for its taker"

    def keep_in(self, work: Path) -> Path:
        """Return one folder for all runs: its first start migrates for minutes."""
        return work / "label-studio-data"

    def command(self) -> list[str]:
        """Return the command that serves."""
        return [
            str(self.venv / "bin" / "label-studio"),
            *("start", "--no-browser", "--port", str(self.port), "--data-dir", str(self.folder)),
            *("--username", _LEAD, "--password", _PASSWORD, "--user-token", _TOKEN),
            *("--enable-legacy-api-token", "--log-level", "ERROR"),
        ]

    def environment(self) -> dict[str, str]:
        """Keep it from calling home."""
        names = ("COLLECT_ANALYTICS", "LATEST_VERSION_CHECK", "DEBUG")
        return dict.fromkeys(names, "false") | {"SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": ""}

    def fill(self) -> None:
        """Make the project and import the tasks."""
        self.wait("/health")
        project = {"title": "Ranking", "label_config": _RANKER, "maximum_annotations": 1}
        self.project = int(self._post("/api/projects", project)["id"])
        rows = [
            {
                "prompt": prompt,
                "items": [
                    {"id": str(place), "title": f"Answer {place}", "body": text}
                    for place, text in enumerate(texts)
                ],
            }
            for prompt, texts in self.tasks
        ]
        self._post(f"/api/projects/{self.project}/import", rows)

    def annotator(self, number: int) -> Annotator:
        """Return an annotator of the project."""
        return _LabelStudioAnnotator(self.url, self.project, f"{self.run}-{number}")

    def _post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Token {_TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)


class _LabelStudioAnnotator:
    def __init__(self, url: str, project: int, name: str) -> None:
        self.url, self.project, self.name = url, project, name
        self.task: dict[str, Any] = {}

    async def open(self) -> None:
        self.http = aiohttp.ClientSession(
            self.url, cookie_jar=aiohttp.CookieJar(unsafe=True), raise_for_status=True
        )
        async with self.http.get("/user/signup/") as page:
            found = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', await page.text())
        if found is None:
            raise ToolFailed("Label Studio's sign-up page has no form.")
        form = {
            "csrfmiddlewaretoken": found.group(1),
            "email": f"ann-{self.name}@example.org",
            "password": _PASSWORD,
        }
        async with self.http.post("/user/signup/", data=form) as page:
            await page.read()
        await self._next()

    async def submit(self) -> tuple[str, float]:
        task = self.task["id"]
        result = {
            "from_name": "ranking",
            "to_name": "answers",
            "type": "ranker",
            "value": {"ranker": ["2", "0", "1", "3"]},
        }
        began = time.perf_counter()
        await self._post(f"/api/tasks/{task}/annotations/", {"result": [result], "lead_time": 5.0})
        await self._next()
        return str(task), time.perf_counter() - began

    async def again(self) -> None:
        await self._next()

    async def close(self) -> None:
        await self.http.close()

    async def _next(self) -> None:
        async with self.http.get(f"/api/projects/{self.project}/next") as answer:
            self.task = await answer.json()

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        tokens = [cookie.value for cookie in self.http.cookie_jar if cookie.key == "csrftoken"]
        headers = {"X-CSRFToken": tokens[0], "Referer": self.url}
        async with self.http.post(path, json=body, headers=headers) as answer:
            await answer.read()


class Potato(Tool):
    """Potato: the ranking scheme; the page's own requests, save and then next."""

    name, requirement = "Potato 2.12.1", POTATO
    stores = "the annotator's whole state as a JSON file, written anew (and fsynced) at each save"

    def command(self) -> list[str]:
        """Return the command that serves, once its files are written."""
        rows = [
            {"id": f"t{number}", "text": "\n\n".join([prompt, *texts])}
            for number, (prompt, texts) in enumerate(self.tasks)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (self.folder / "tasks.jsonl").write_text(lines, encoding="utf-8")
        config = {
            "annotation_task_name": "Ranking",
            "task_dir": ".",
            "output_annotation_dir": "annotations",
            "data_files": ["tasks.jsonl"],
            "item_properties": {"id_key": "id", "text_key": "text"},
            "user_config": {"allow_all_users": True, "users": []},
            "require_password": False,
            "assignment_strategy": "fixed_order",
            "num_annotators_per_item": 1,
            # Without a quota the first annotator is assigned every task.
            "max_annotations_per_user": len(self.tasks) // self.annotators,
            "annotation_schemes": [
                {
                    "annotation_type": "ranking",
                    "name": "ranking",
                    "description": "Rank the answers",
                    "labels": ["A0", "A1", "A2", "A3"],
                }
            ],
        }
        # JSON is YAML, too.
        (self.folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
        return [
            str(self.venv / "bin" / "potato"),
            *("start", "config.yaml", "-p", str(self.port), "--quiet"),
        ]

    def fill(self) -> None:
        """Wait: the command reads the tasks."""
        self.wait("/health")

    def annotator(self, number: int) -> Annotator:
        """Return an annotator."""
        return _PotatoAnnotator(self.url, number)


class _PotatoAnnotator:
    def __init__(self, url: str, number: int) -> None:
        self.url, self.number, self.task = url, number, ""

    async def open(self) -> None:
        self.http = aiohttp.ClientSession(
            self.url, cookie_jar=aiohttp.CookieJar(unsafe=True), raise_for_status=True
        )
        async with self.http.post("/auth", data={"email": f"ann-{self.number}"}) as page:
            self._look(await page.text())

    async def submit(self) -> tuple[str, float]:
        task = self.task
        save = {"instance_id": task, "annotations": {"ranking:::rank_order": "A2,A0,A1,A3"}}
        began = time.perf_counter()
        async with self.http.post("/updateinstance", json=save) as answer:
            said = await answer.json()
            if said.get("status") not in ("ok", "success"):
                raise ToolFailed(f"Potato refused an annotation: {said}")
        move = {"action": "next_instance", "instance_id": task}
        async with self.http.post("/annotate", json=move) as page:
            self._look(await page.text())
        return task, time.perf_counter() - began

    async def again(self) -> None:
        async with self.http.get("/annotate") as page:
            self._look(await page.text())

    async def close(self) -> None:
        await self.http.close()

    def _look(self, page: str) -> None:
        found = re.search(r'id="instance_id"[^>]*value="([^"]+)"', page)
        if found is None:
            raise ToolFailed(f"Potato's page shows no task: {page[:200]!r}")
        self.task = found.group(1)
