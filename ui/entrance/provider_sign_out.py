"""Signing out at the provider, too: OpenID Connect RP-Initiated Logout 1.0.

The ID token that names whose session is to end (section 2, `id_token_hint`) waits in a cookie that
is sent to `/logout` alone. It begins with a mark of the sign-in that it came with, so the token of
one person never ends the sign-in of the next at the same browser.
"""

import logging
from urllib.parse import urlencode, urlsplit

from anyio import fail_after
from starlette.requests import Request
from starlette.responses import Response

from labeling.people.passwords import digest
from ui import process
from ui.cookie import COOKIE_SECONDS
from ui.entrance.browsers import is_secure
from ui.entrance.frame import page, words_of
from ui.entrance.provider import is_trustworthy, provider

HINT_COOKIE = "rankloop_oidc_hint"
PATH = "/logout"
#: browsers drop a cookie of more than 4096 bytes, its name among them
LONGEST_HINT = 3800
#: for which a provider that does not answer keeps somebody who signs out
SECONDS = 3.0
_MARK = 16
_log = logging.getLogger(__name__)


def keep_hint(answer: Response, request: Request, *, token: str, id_token: str) -> None:
    """Give the browser the ID token with which it may sign out at the provider.

    One that is too long for a cookie is left out: the provider then asks who signs out.
    """
    if not process.settings().oidc.sign_out_there or len(id_token) > LONGEST_HINT:
        return
    answer.set_cookie(
        HINT_COOKIE,
        f"{digest(token)[:_MARK]}.{id_token}",
        max_age=COOKIE_SECONDS,
        path=PATH,
        httponly=True,
        samesite="strict",
        secure=is_secure(request),
    )


def drop_hint(answer: Response, request: Request) -> None:
    """Take it from the browser again."""
    if HINT_COOKIE in request.cookies:
        answer.delete_cookie(
            HINT_COOKIE, path=PATH, httponly=True, samesite="strict", secure=is_secure(request)
        )


async def leading_there(request: Request, token: str) -> Response | None:
    """Return a page that leads on to the provider's own sign-out, to come back to the sign-in page.

    `token` is of the sign-in that has just ended here. A page leads on, not a redirect: browsers
    refuse a form that ends at another site. None where the provider announces no such address, does
    not answer, or is not to be asked.
    """
    settings = process.settings().oidc
    if not settings.client_id or not settings.sign_out_there:
        return None
    try:
        with fail_after(SECONDS):
            metadata = await provider().load_server_metadata()
        there = metadata.get("end_session_endpoint")
    except Exception as error:
        # Whoever signs out is out of here by now; a provider that is down cannot keep them.
        _log.warning("signing out at the provider failed: %s: %s", type(error).__name__, error)
        return None
    if not isinstance(there, str) or not is_trustworthy(there):
        return None
    asked = {
        "id_token_hint": _hint(request, token),
        "client_id": settings.client_id,
        "post_logout_redirect_uri": f"{_own_address(request)}/login",
    }
    query = urlencode({name: value for name, value in asked.items() if value})
    words = words_of(request)
    return page(
        words,
        "",
        title=words.say("sign_out"),
        lead=words.say("oidc.leaving", name=settings.name),
        refresh=f"{there}{'&' if urlsplit(there).query else '?'}{query}",
    )


def _hint(request: Request, token: str) -> str:
    mark, _, id_token = request.cookies.get(HINT_COOKIE, "").partition(".")
    return id_token if mark == digest(token)[:_MARK] else ""


def _own_address(request: Request) -> str:
    """Return this server's address as the browser sees it."""
    settings = process.settings()
    if settings.oidc.redirect_url:
        parts = urlsplit(settings.oidc.redirect_url)
        return f"{parts.scheme}://{parts.netloc}"
    return settings.accounts.public_url or str(request.base_url).rstrip("/")
