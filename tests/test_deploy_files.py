"""The files of deploy/, held against each other and what they start; none is deployed here."""

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.settings import load_settings

DEPLOY = Path(__file__).parents[1] / "deploy"
IMAGE = (DEPLOY / "Dockerfile").read_text()


def _yaml(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((DEPLOY / name).read_text()) if each]


def _pod(kind: str, name: str) -> dict[str, Any]:
    (found,) = [
        each["spec"]["template"]["spec"]
        for each in _yaml("kubernetes/rankloop.yaml")
        if each["kind"] == kind and each["metadata"]["name"] == name
    ]
    return dict(found)


def test_the_secrets_of_compose_can_be_read_by_the_services_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    setup = re.findall(r"^#   ((?:mkdir|openssl|echo|chmod) .*)$", text, re.MULTILINE)
    (tmp_path / "deploy").mkdir()
    # The most careful umask, too.
    script = "\n".join(["set -eu", "umask 077", *setup])
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    (compose,) = _yaml("compose.yaml")
    folder = tmp_path / "deploy" / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    named = {name: tmp_path / "deploy" / one["file"] for name, one in compose["secrets"].items()}
    for file in named.values():
        # Its owner here is not uid 10001, and need not be.
        assert stat.S_IMODE(file.stat().st_mode) == 0o644, file
    for name in ("init", "web1", "web2", "worker"):
        service = compose["services"][name]
        assert "PGPASSFILE" not in service["environment"]
        (secret,) = service["secrets"]
        assert service["environment"]["RANKLOOP_DATABASE_URL_FILE"] == f"/run/secrets/{secret}"
    monkeypatch.setenv("RANKLOOP_DATABASE_URL_FILE", str(named["database_url"]))
    password = named["postgres_password"].read_text().strip()
    assert load_settings().url == f"postgresql://rankloop:{password}@postgres/rankloop"
    assert len(password) == 48


def test_what_the_examples_use_is_in_the_image() -> None:
    extras = re.search(r'-e "\.\[(.*)\]"', IMAGE)
    assert extras is not None
    assert {"postgres", "oidc", "s3", "traces"} <= set(extras[1].split(","))
    for script in re.findall(r"/opt/rankloop/(deploy/\S+\.sh)", _documents()):
        assert script in IMAGE and (DEPLOY.parent / script).exists()
    # Beside it: the script reads it from there.
    assert "deploy/kubernetes/round-job.yaml" in IMAGE
    assert not re.search(r"^COPY (--\S+ )?(deploy|\.)/? ", IMAGE, re.MULTILINE)
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", IMAGE, re.MULTILINE)
    assert stages[-1] == ("base", "rankloop") and ("base", "jobs") in stages
    assert "/usr/local/bin/kubectl" in IMAGE.partition("AS jobs")[2].partition("FROM base")[0]


def _documents() -> str:
    files = [*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.sh"), *(DEPLOY.parent / "docs").glob("*.md")]
    return "\n".join(file.read_text() for file in files)


def test_every_pod_writes_the_volume_as_the_same_user() -> None:
    pods = [
        _pod("Job", "rankloop-init"),
        _pod("Deployment", "rankloop-web"),
        _pod("Deployment", "rankloop-worker"),
    ]
    wanted = {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001}
    assert [pod["securityContext"] for pod in pods] == [wanted] * 3
    assert "--uid 10001" in IMAGE


def test_a_worker_has_the_same_time_to_end_wherever_it_runs() -> None:
    unit = (DEPLOY / "systemd" / "rankloop-worker.service").read_text()
    seconds = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert seconds is not None
    pod = _pod("Deployment", "rankloop-worker")
    assert pod["terminationGracePeriodSeconds"] == int(seconds[1])
    (compose,) = _yaml("compose.yaml")
    assert compose["services"]["worker"]["stop_grace_period"] == f"{seconds[1]}s"


def test_a_worker_may_do_what_the_script_of_jobs_asks_for() -> None:
    account, role, binding = _yaml("kubernetes/jobs-access.yaml")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account["metadata"]["name"]}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    script = (DEPLOY / "kubernetes" / "run-job.sh").read_text()
    asked = set(re.findall(r"\$kubectl (\w+)", script))
    assert asked == {"create", "get", "logs", "delete"}
    may = {name: set(rule["verbs"]) for rule in role["rules"] for name in rule["resources"]}
    # `delete` waits for the end, which it lists and watches; `logs` looks for the job's pods.
    assert may["jobs"] == {"create", "get", "list", "watch", "delete"}
    assert may["pods"] >= {"get", "list"} and may["pods/log"] == {"get"}
    text = (DEPLOY / "kubernetes" / "jobs-access.yaml").read_text()
    assert f"rankloop-worker {account['metadata']['name']}\n" in text
