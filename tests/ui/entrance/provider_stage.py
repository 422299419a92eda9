"""A real OpenID Connect provider in a process of its own, and people who sign in to it."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.postgres_cluster import free_port

PEOPLE: dict[str, dict[str, Any]] = {
    "ada": {
        "email": "ada@example.org", "email_verified": True, "preferred_username": "ada",
        "realm": {"groups": ["raters", "rlhf-leads"]},
    },
    "bob": {"email": "bob@example.org", "email_verified": "false", "realm": {"groups": []}},
    "eve": {"email": "eve@example.org.evil.example", "email_verified": True},
}  # fmt: skip


@contextmanager
def running_provider() -> Iterator[str]:
    """Run the provider; give its address."""
    port = free_port()
    people = [
        argument
        for name, claims in PEOPLE.items()
        for argument in ("--user-claims", json.dumps({"sub": name, **claims}))
    ]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port),
         "--require-nonce", *people],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://localhost:{port}"
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(url, timeout=2).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def agreed(address: str, *, person: str | None) -> str:
    """Sign in at the provider, or decline; return the path and query that it leads back to."""
    form = {"action": "deny"} if person is None else {"sub": person}
    answer = httpx.post(address, data=form, timeout=10)
    back = urlsplit(answer.headers["location"])
    return f"{back.path}?{back.query}"


def query_of(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
