"""Signing in and out: the routes outside Streamlit, where an HttpOnly cookie can be set."""

import secrets
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import parse_qs, urlencode, urlsplit

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from labeling.accounts import account_of_token, authenticate, close_sign_in, open_sign_in
from labeling.keys import key_of
from labeling.work_queue.assignment import release_assignments
from storage.engine import reading, writing
from storage.errors import NotAllowed, Unavailable
from ui import process
from ui.cookie import COOKIE, COOKIE_SECONDS, LANGUAGE_COOKIE, LANGUAGE_SECONDS, safe_path
from ui.database import retried
from ui.languages import Words, languages, words_for
from ui.patience import Patience

FORM_BYTES = 16_384
HERE = Path(__file__).parent
PAGE = Template((HERE / "sign_in.html").read_text(encoding="utf-8"))
SAID = ("title", "lead", "name", "password", "send", "lost")
MARK = (HERE / "mark.svg").read_text(encoding="utf-8").strip()

_patience = Patience()


def signed_in(token: str) -> bool:
    """Say whether `token` belongs to a sign-in that still counts (reads the database).

    Raises `Unavailable` where that does not answer.
    """
    return retried(lambda: _is_known(token))


def _is_known(token: str) -> bool:
    with reading(process.engine()) as session:
        return account_of_token(session, token=token) is not None


def routes() -> list[Route]:
    """Return the routes; the limiter keeps a flood of passwords from filling the memory."""
    hashing = CapacityLimiter(2)

    async def post_login(request: Request) -> Response:
        return await _log_in(request, hashing)

    return [
        Route("/login", _show_form, methods=["GET"]),
        Route("/login", post_login, methods=["POST"]),
        Route("/logout", _log_out, methods=["POST"]),
    ]


async def _show_form(request: Request) -> Response:
    target = safe_path(request.query_params.get("next"))
    token = request.cookies.get(COOKIE)
    try:
        known: bool = token is not None and await to_thread.run_sync(signed_in, token)
    except Unavailable:
        return _trouble(_words(request), target=target)
    answer: Response = (
        RedirectResponse(target, status_code=303)
        if known
        else _form(_words(request), target=target)
    )
    return _with_language(request, answer)


def _words(request: Request) -> Words:
    chosen = request.query_params.get("language") or request.cookies.get(LANGUAGE_COOKIE)
    return words_for(request.headers.get("accept-language"), chosen)


def _with_language(request: Request, answer: Response) -> Response:
    """Keep the language that `?language=` asks for, on this page or from a page's menu."""
    chosen = request.query_params.get("language")
    if chosen in languages():
        answer.set_cookie(
            LANGUAGE_COOKIE,
            chosen,
            max_age=LANGUAGE_SECONDS,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
    return answer


async def _log_in(request: Request, hashing: CapacityLimiter) -> Response:
    words = _words(request)
    if not same_origin(request):
        return _form(words, problem=words.say("sign_in.elsewhere"), status=403)
    fields = await _fields(request)
    name, target = fields.get("name", "").strip(), safe_path(fields.get("next"))
    wait = _patience.seconds_to_wait(name)
    if wait > 0:
        problem = words.say("sign_in.wait", count=max(1, round(wait)))
        return _form(words, problem=problem, target=target, name=name, status=429)
    try:
        token = await to_thread.run_sync(_open, name, fields.get("password", ""), limiter=hashing)
    except Unavailable:
        return _trouble(words, target=target, name=name)
    except NotAllowed:
        _patience.failed(name)
        problem = words.say("sign_in.refused")
        return _form(words, problem=problem, target=target, name=name, status=401)
    _patience.succeeded(name)
    response = RedirectResponse(target, status_code=303)
    response.set_cookie(
        COOKIE,
        token,
        max_age=COOKIE_SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


async def _log_out(request: Request) -> Response:
    if not same_origin(request):
        return JSONResponse({"error": "This form came from another site."}, status_code=403)
    token = request.cookies.get(COOKIE)
    try:
        if token:
            await to_thread.run_sync(_close, token)
    except Unavailable:
        return _trouble(_words(request))
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return response


def same_origin(request: Request) -> bool:
    """Say whether a form was sent by a page of this server (or by no browser at all)."""
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    return urlsplit(origin).netloc == request.headers.get("host")


async def _fields(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES:
            return {}
    parsed = parse_qs(body.decode("utf-8", errors="replace"), keep_blank_values=True)
    return {name: values[0] for name, values in parsed.items()}


def _open(name: str, password: str) -> str:
    return retried(lambda: _open_once(name, password))


def _open_once(name: str, password: str) -> str:
    with writing(process.engine()) as session:
        account = authenticate(session, name=name, password=password)
        assert account.id is not None
        hours = process.settings().sign_in_hours
        return open_sign_in(session, account_id=account.id, hours=hours)


def _close(token: str) -> None:
    retried(lambda: _close_once(token))


def _close_once(token: str) -> None:
    with writing(process.engine()) as session:
        account = account_of_token(session, token=token)
        if account is not None:
            release_assignments(session, annotator_id=key_of(account))
        close_sign_in(session, token=token)


def _trouble(words: Words, *, target: str = "/", name: str = "") -> HTMLResponse:
    problem = words.say("server.trouble")
    return _form(words, problem=problem, target=target, name=name, status=503)


def _form(
    words: Words, *, problem: str = "", target: str = "/", name: str = "", status: int = 200
) -> HTMLResponse:
    nonce = secrets.token_urlsafe(12)
    said = f'<div class="problem" role="alert">{escape(problem)}</div>' if problem else ""
    page = PAGE.substitute(
        nonce=nonce,
        font=_font_path(),
        mark=MARK,
        problem=said,
        next=escape(target, quote=True),
        name=escape(name, quote=True),
        focus_name="" if name else " autofocus",
        focus_password=" autofocus" if name else "",
        language=words.language,
        direction=words.direction,
        languages=_language_links(words, target),
        **{f"say_{part}": escape(words.say(f"sign_in.{part}")) for part in SAID},
    )
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; font-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {"content-security-policy": policy, "cache-control": "no-store"}
    return HTMLResponse(page, status_code=status, headers=headers)


def _language_links(words: Words, target: str) -> str:
    links = [
        f'<a href="/login?{escape(urlencode({"language": code, "next": target}))}" '
        f'lang="{code}">{escape(name)}</a>'
        for code, name in languages().items()
        if code != words.language
    ]
    return " · ".join(links)


def _font_path() -> str:
    """Return the path under which Streamlit serves its own font, so that both pages match."""
    import streamlit

    folder = Path(streamlit.__file__).parent / "static" / "static" / "media"
    fonts = sorted(folder.glob("SourceSansVF-Upright*.woff2"))
    return f"/static/media/{fonts[0].name}" if fonts else ""
