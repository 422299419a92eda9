import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from labeling.webhooks.signing import read_secret, signed_headers
from storage.clock import now
from storage.errors import BadInput, Unavailable

# Standard Webhooks' own example: the signature that every library gives for it.
KEY = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, AT = "msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, tz=UTC)
BODY, SIGNATURE = b'{"test": 2432232314}', "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_examples_signature_is_ours() -> None:
    headers = signed_headers(base64.b64decode(KEY), message_id=ID, at=AT, body=BODY)
    assert headers == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


@given(key=st.binary(min_size=24, max_size=64), text=st.text(), number=st.integers())
def test_the_library_of_receivers_verifies_what_we_sign(key: bytes, text: str, number: int) -> None:
    body = f"{text}{number}".encode("utf-8", "replace")
    headers = signed_headers(key, message_id="msg_1", at=now(), body=body)
    receiver = Webhook(key)
    receiver.verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        receiver.verify(body + b" ", headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        receiver.verify(body, {**headers, "webhook-id": "msg_2"}, json_parse=False)


def test_a_secret_is_in_the_environment_or_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match="HOOK_FILE"):
        read_secret("HOOK")
    file = tmp_path / "secret"
    file.write_text(f"whsec_{KEY}\n")
    monkeypatch.setenv("HOOK_FILE", str(file))
    assert read_secret("HOOK") == base64.b64decode(KEY)
    other = base64.b64encode(b"x" * 32).decode()
    monkeypatch.setenv("HOOK", other)
    assert read_secret("HOOK") == b"x" * 32
    monkeypatch.delenv("HOOK")
    file.unlink()
    with pytest.raises(Unavailable, match="cannot be read"):
        read_secret("HOOK")


@pytest.mark.parametrize(
    "text", ["hunter2", "whsec_c2hvcnQ=", "whsec_" + "A" * 200, "whsec_%%%", "whsec_clé"]
)
def test_what_is_no_secret_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("HOOK", text)
    with pytest.raises(BadInput, match="24 to 64 bytes") as caught:
        read_secret("HOOK")
    assert text not in str(caught.value)
