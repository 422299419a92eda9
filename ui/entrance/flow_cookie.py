"""What has to be remembered between leaving for a provider and coming back: a signed cookie.

Its key comes from the provider's secret, which every web process has, so anyone of them may answer.
"""

import hashlib
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

from ui import process
from ui.entrance.browsers import is_secure
from ui.entrance.provider import client_secret

FLOW_COOKIE = "rankloop_oidc"
FLOW_SECONDS = 600
PATH = "/oidc"


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(
        client_secret(process.settings().oidc),
        salt="rankloop.oidc",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )


def keep_flow(answer: Response, request: Request, flow: dict[str, Any]) -> None:
    """Give the browser what is to be remembered, for ten minutes."""
    answer.set_cookie(
        FLOW_COOKIE,
        str(_serializer().dumps(flow)),
        max_age=FLOW_SECONDS,
        path=PATH,
        httponly=True,
        samesite="lax",
        secure=is_secure(request),
    )


def kept_flow(request: Request) -> dict[str, Any]:
    """Return what this server gave the browser; nothing where that is old or somebody else's."""
    try:
        flow = _serializer().loads(request.cookies.get(FLOW_COOKIE, ""), max_age=FLOW_SECONDS)
    except BadData:
        return {}
    return flow if isinstance(flow, dict) else {}


def drop_flow(answer: Response, request: Request) -> None:
    """Take it from the browser again."""
    answer.delete_cookie(
        FLOW_COOKIE, path=PATH, httponly=True, samesite="lax", secure=is_secure(request)
    )
