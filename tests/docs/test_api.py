"""docs/api.md: its table is what there is, and its examples run as they stand, against a server."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from labeling.people.access_tokens import make_token
from storage.engine import writing
from storage.tables import Role
from tests.requirement import missing
from tests.sample_rows import add_account
from tests.ui.api.conftest import add_pairs
from tests.ui.conftest import running_server
from tests.ui.small_home import small_home
from ui.api.endpoints import BASE, ENDPOINTS, openapi

PAGE = (Path(__file__).parents[2] / "docs/api.md").read_text(encoding="utf-8")


def test_the_table_is_what_there_is() -> None:
    rows = re.findall(
        r"^\| (GET|POST|DELETE) \| `(/\S+)` \| (.+) \| [`\w]+ \|$", PAGE, re.MULTILINE
    )
    assert rows == [(each.method, each.path, each.summary) for each in ENDPOINTS]


def test_every_parameter_and_status_is_told() -> None:
    for each in ENDPOINTS:
        operation = openapi()["paths"][BASE + each.path][each.method.lower()]
        named = {one["name"] for one in operation["parameters"]}
        assert named == {*each.query, *re.findall(r"{(\w+)}", each.path)}


def test_the_examples_run(tmp_path: Path, sqlite_template: Path) -> None:
    if shutil.which("curl") is None:
        missing("curl", "install the package curl")
    home = small_home(tmp_path / "home", sqlite_template)
    add_pairs(home, tmp_path)
    lead = add_account(home.engine, "lead", role=Role.LEAD)
    with writing(home.engine) as session:
        _, token = make_token(session, account=lead, name="docs", days=1, longest=1, by=lead)
    home.engine.dispose()
    said: list[Any] = []
    with running_server(home.path) as server:
        names = {"RANKLOOP_TOKEN": token, "RANKLOOP_URL": server.url}
        for code in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL):
            done = subprocess.run(
                ["bash", "-ec", code], cwd=tmp_path, env={**os.environ, **names},
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            said.append(json.loads(done.stdout) if done.stdout else None)
    me, prompts, snapshot, _, events = said
    assert (me["account"], me["role"]) == ("lead", "lead")
    assert prompts == {"added": 2, "duplicates": 0, "total": 2}
    assert snapshot["name"] == "nightly" and snapshot["judgments"] == 6
    rows = (tmp_path / "train.jsonl").read_text().splitlines()
    assert rows and all({"chosen", "rejected"} <= set(json.loads(row)) for row in rows)
    assert "snapshot.created" in {each["kind"] for each in events["events"]}
