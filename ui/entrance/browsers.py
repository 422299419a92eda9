"""What a browser sends to the pages outside Streamlit, and the cookie that it is given."""

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from labeling.people.sign_ins import Browser
from ui.cookie import COOKIE, COOKIE_SECONDS, KNOWN_COOKIE, KNOWN_PATH, KNOWN_SECONDS

FORM_BYTES = 16_384


async def form_fields(request: Request) -> dict[str, str]:
    """Return a form's fields; none where it is larger than any of ours."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES:
            return {}
    parsed = parse_qs(body.decode("utf-8", errors="replace"), keep_blank_values=True)
    return {name: values[0] for name, values in parsed.items()}


def browser_of(request: Request) -> Browser:
    """Return where a request comes from: behind a trusted proxy, the address that it names."""
    return Browser(
        address=request.client.host if request.client else "",
        user_agent=request.headers.get("user-agent", ""),
    )


def is_secure(request: Request) -> bool:
    """Say whether the browser speaks TLS, to this server or to a trusted proxy before it."""
    return request.url.scheme == "https"


def give_cookie(response: Response, request: Request, token: str) -> None:
    """Give the browser its sign-in's token, to be signed in by and to be known by afterwards.

    Lax, not Strict: with Strict, whoever follows a link in a mail would seem to be signed out, and
    a provider of OpenID Connect could not send people back.
    """
    response.set_cookie(
        KNOWN_COOKIE,
        token,
        max_age=KNOWN_SECONDS,
        path=KNOWN_PATH,
        httponly=True,
        samesite="strict",
        secure=is_secure(request),
    )
    response.set_cookie(
        COOKIE,
        token,
        max_age=COOKIE_SECONDS,
        httponly=True,
        samesite="lax",
        secure=is_secure(request),
    )


def take_cookie(response: Response, request: Request) -> None:
    """Take the token away again; what tells that the browser was signed in once stays."""
    response.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=is_secure(request))
