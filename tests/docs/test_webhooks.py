"""docs/webhooks.md: its table is what there is, and its receiver works."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from labeling.webhooks.messages import KINDS
from labeling.webhooks.sending import send
from labeling.webhooks.signing import read_secret, signed_headers
from storage.clock import now
from tests.labeling.webhooks.receiver import SECRET
from tests.postgres_cluster import free_port

PAGE = (Path(__file__).parents[2] / "docs/webhooks.md").read_text(encoding="utf-8")


def test_the_table_has_every_kind_in_the_same_words() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.+) \|$", PAGE, re.MULTILINE)
    assert dict(rows) == KINDS


def test_the_receiver_takes_what_is_signed_and_nothing_else() -> None:
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert code is not None
    port = free_port()
    text = code.group(1).replace("9000", str(port))
    process = subprocess.Popen(
        [sys.executable, "-c", text],
        env={**os.environ, "HOOK_SECRET": SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    os.environ["DOCS_SECRET"] = SECRET
    body = b'{"type": "alarm.raised"}'
    url = f"http://127.0.0.1:{port}/"
    try:
        key = read_secret("DOCS_SECRET")
        headers = signed_headers(key, message_id="msg_1", at=now(), body=body)
        deadline = time.monotonic() + 20
        answer = send(url, body=body, headers=headers, timeout=5, private=True)
        while answer.status is None and time.monotonic() < deadline:
            time.sleep(0.1)
            answer = send(url, body=body, headers=headers, timeout=5, private=True)
        forged = send(url, body=body + b" ", headers=headers, timeout=5, private=True)
    finally:
        del os.environ["DOCS_SECRET"]
        process.terminate()
        out, _ = process.communicate(timeout=10)
    assert (answer.status, forged.status) == (204, 401)
    assert out == "msg_1 alarm.raised\n"
