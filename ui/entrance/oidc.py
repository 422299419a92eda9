"""Signing in through an OpenID Connect provider: Authlib's client, ending in a sign-in of ours.

docs/decisions/0012-openid-connect.md says why this is not Streamlit's `st.login`. State, nonce and
PKCE's verifier wait in a signed cookie that ends with the flow.
"""

import logging
import secrets
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from labeling.people.identities import identity_of
from storage.errors import RankloopError
from ui import process
from ui.cookie import COOKIE, safe_path
from ui.entrance.browsers import browser_of, form_fields, give_cookie
from ui.entrance.flow_cookie import drop_flow, keep_flow, kept_flow
from ui.entrance.frame import page, words_of
from ui.entrance.known_people import come_in
from ui.entrance.provider import CannotSignIn, provider
from ui.entrance.provider_sign_out import keep_hint
from ui.entrance.sign_in import sign_in_page
from ui.languages.sentences import translated
from ui.web.guard import sent_from_here

_log = logging.getLogger(__name__)


def routes() -> list[Route]:
    """Return the routes; none where no provider is set."""
    if not process.settings().oidc.client_id:
        return []
    try:
        provider()
    except RankloopError as error:
        # Said at the start, and again to whoever comes that way; passwords work all the same.
        _log.warning("%s", error)
    return [
        Route("/oidc/begin", _begin, methods=["POST"]),
        Route("/oidc/login", _login, methods=["GET"]),
        Route("/oidc/callback", _callback, methods=["GET"]),
    ]


async def _begin(request: Request) -> Response:
    """Remember what a form wants (to join by a link, to link an account), and go on.

    A page leads on, not a redirect: browsers refuse a form that ends at another site.
    """
    words = words_of(request)
    if not sent_from_here(request.headers):
        return sign_in_page(words, problem=words.say("sign_in.elsewhere"), status=403)
    fields = await form_fields(request)
    go = secrets.token_urlsafe(16)
    wanted = {"code": fields.get("code", ""), "link": fields.get("link", ""), "go": go}
    answer = page(
        words,
        "",
        title=words.say("sign_in.title"),
        lead=words.say("oidc.leaving", name=process.settings().oidc.name),
        refresh=f"/oidc/login?go={go}",
    )
    try:
        keep_flow(answer, request, {"wanted": wanted})
    except RankloopError as error:
        return _refuse(request, error)
    return answer


async def _login(request: Request) -> Response:
    session: dict[str, Any] = {}
    target = request.query_params.get("next", "/")
    try:
        flow = {"authlib": session, "wanted": _wanted(request), "next": target}
        answer: Response = await provider().authorize_redirect(
            _with_session(request, session), _redirect_url(request)
        )
        keep_flow(answer, request, flow)
    except Exception as error:
        return _refuse(request, error)
    return answer


def _with_session(request: Request, session: dict[str, Any]) -> Request:
    """Return the request with a session for Authlib; the one that Streamlit's app has stays."""
    return Request({**request.scope, "session": session})


def _wanted(request: Request) -> dict[str, str]:
    """Return what the form just before wanted; nothing of one that was left some time ago."""
    wanted: dict[str, str] = kept_flow(request).get("wanted", {})
    go = request.query_params.get("go")
    return wanted if go and wanted.get("go") == go else {}


def _redirect_url(request: Request) -> str:
    settings = process.settings()
    base = settings.accounts.public_url or str(request.base_url).rstrip("/")
    return settings.oidc.redirect_url or f"{base}/oidc/callback"


async def _callback(request: Request) -> Response:
    settings = process.settings().oidc
    try:
        flow = kept_flow(request)
        wanted = flow.get("wanted", {})
        token = await provider().authorize_access_token(
            _with_session(request, flow.get("authlib", {}))
        )
        claims = token.get("userinfo")
        if claims is None:
            raise CannotSignIn("the provider sent no ID token")
        identity = identity_of(claims, role_claim=settings.role_claim)
        opened = await to_thread.run_sync(
            come_in,
            identity,
            wanted.get("code") or None,
            request.cookies.get(COOKIE) if wanted.get("link") else None,
            browser_of(request),
        )
    except Exception as error:
        return _refuse(request, error)
    target = "/account" if wanted.get("link") else safe_path(flow.get("next"))
    answer = RedirectResponse(target, status_code=303)
    if opened:
        give_cookie(answer, request, opened)
        keep_hint(answer, request, token=opened, id_token=str(token.get("id_token", "")))
    drop_flow(answer, request)
    return answer


def _refuse(request: Request, error: Exception) -> Response:
    words = words_of(request)
    if isinstance(error, RankloopError):
        said = translated(str(error), words)
    else:
        # Of what a provider or a forged answer says, people see nothing.
        _log.warning("sign-in through the provider failed: %s: %s", type(error).__name__, error)
        said = words.say("oidc.failed")
    answer = sign_in_page(words, problem=said, status=403)
    drop_flow(answer, request)
    return answer
