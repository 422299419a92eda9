"""Sign messages as Standard Webhooks 1.0.0 has it ("Signature scheme", symmetric)."""

import base64
import hashlib
import hmac
from datetime import datetime

from storage.errors import BadInput, Unavailable
from storage.secrets import secret_text

PREFIX = "whsec_"
_FEWEST_BYTES, _MOST_BYTES = 24, 64


def read_secret(variable: str) -> bytes:
    """Return the key that the environment variable holds, or the file that `VARIABLE_FILE` names.

    It is base64 with or without `whsec_`, of 24 to 64 bytes. Raises `Unavailable` where there is
    none, `BadInput` where it is no such key; the key itself is in no message.
    """
    text = secret_text(variable)
    if not text:
        raise Unavailable(
            f"The secret is in neither the environment variable {variable} nor a file named by "
            f"{variable}_FILE; set one for the process that delivers."
        )
    try:
        key = base64.b64decode(text.strip().removeprefix(PREFIX), validate=True)
    except ValueError:
        # Of base64 that is none, and of text that is not ASCII.
        key = b""
    if not _FEWEST_BYTES <= len(key) <= _MOST_BYTES:
        raise BadInput(
            f"The secret in {variable} is not whsec_ and base64 of {_FEWEST_BYTES} to "
            f"{_MOST_BYTES} bytes; make one: echo whsec_$(openssl rand -base64 32)"
        )
    return key


def signed_headers(key: bytes, *, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """Return the three headers of a message: `v1,` and base64 of HMAC-SHA256 over "id.time.body".

    `at` is the time of this attempt: receivers refuse a message that is older than minutes.
    """
    seconds = str(int(at.timestamp()))
    told = b".".join((message_id.encode(), seconds.encode(), body))
    signature = base64.b64encode(hmac.new(key, told, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{signature}",
    }
