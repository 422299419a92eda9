"""Signing in and out: the routes outside Streamlit, where an HttpOnly cookie can be set."""

from html import escape
from urllib.parse import urlencode

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from labeling.accounts import account_of_token, authenticate, close_sign_in, open_sign_in
from labeling.events import from_address
from labeling.keys import key_of
from labeling.people.failed_sign_ins import record_failure, seconds_to_wait
from labeling.people.sign_ins import Browser, was_issued, way_of
from labeling.work_queue.assignment import release_assignments
from storage.engine import reading, writing
from storage.errors import NotAllowed, Unavailable
from storage.tables import SignInWay
from ui import process
from ui.cookie import COOKIE, KNOWN_COOKIE, LANGUAGE_COOKIE, LANGUAGE_SECONDS, safe_path
from ui.database import retried
from ui.entrance.browsers import browser_of, form_fields, give_cookie, is_secure, take_cookie
from ui.entrance.frame import page, part, words_of
from ui.entrance.provider_sign_out import drop_hint, leading_there
from ui.languages import Words, languages
from ui.web.guard import sent_from_here

SAID = ("name", "password", "send", "lost")


class TooManyFailures(Exception):
    """Says that this name or address has to wait before its next attempt."""

    def __init__(self, seconds: float) -> None:
        """Keep how long."""
        super().__init__()
        self.seconds = seconds


def signed_in(token: str) -> bool:
    """Say whether `token` belongs to a sign-in that still counts (reads the database).

    Raises `Unavailable` where that does not answer.
    """
    return retried(lambda: _is_known(token))


def _is_known(token: str) -> bool:
    with reading(process.engine()) as session:
        return account_of_token(session, token=token) is not None


def issued(token: str) -> bool:
    """Say whether `token` is of a sign-in, ended or not; yes where the database does not answer."""
    try:
        return retried(lambda: _was_issued(token))
    except Unavailable:
        return True


def _was_issued(token: str) -> bool:
    with reading(process.engine()) as session:
        return was_issued(session, token=token)


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
        return trouble(words_of(request), target=target)
    answer: Response = (
        RedirectResponse(target, status_code=303)
        if known
        else sign_in_page(words_of(request), target=target)
    )
    return _with_language(request, answer)


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
            secure=is_secure(request),
        )
    return answer


async def _log_in(request: Request, hashing: CapacityLimiter) -> Response:
    words = words_of(request)
    if not sent_from_here(request.headers):
        return sign_in_page(words, problem=words.say("sign_in.elsewhere"), status=403)
    fields = await form_fields(request)
    name, target = fields.get("name", "").strip(), safe_path(fields.get("next"))
    browser = browser_of(request)
    given = name, fields.get("password", ""), browser, request.cookies.get(KNOWN_COOKIE)
    try:
        with from_address(browser.address):
            token = await to_thread.run_sync(_open, *given, limiter=hashing)
    except Unavailable:
        return trouble(words, target=target, name=name)
    except TooManyFailures as error:
        problem = words.say("sign_in.wait", count=max(1, round(error.seconds)))
        return sign_in_page(words, problem=problem, target=target, name=name, status=429)
    except NotAllowed:
        problem = words.say("sign_in.refused")
        return sign_in_page(words, problem=problem, target=target, name=name, status=401)
    response = RedirectResponse(target, status_code=303)
    give_cookie(response, request, token)
    return response


async def _log_out(request: Request) -> Response:
    if not sent_from_here(request.headers):
        return JSONResponse({"error": "This form came from another site."}, status_code=403)
    token = request.cookies.get(COOKIE)
    way = None
    try:
        if token:
            with from_address(browser_of(request).address):
                way = await to_thread.run_sync(close, token)
    except Unavailable:
        return trouble(words_of(request))
    on = await leading_there(request, token) if token and way is SignInWay.OIDC else None
    response = on or RedirectResponse("/login", status_code=303)
    take_cookie(response, request)
    drop_hint(response, request)
    return response


def _open(name: str, password: str, browser: Browser, known: str | None) -> str:
    return retried(lambda: _open_once(name, password, browser, known))


def _open_once(name: str, password: str, browser: Browser, known: str | None) -> str:
    engine = process.engine()
    with reading(engine) as session:
        wait = seconds_to_wait(session, name=name, browser=browser, token=known)
        if wait > 0:
            raise TooManyFailures(wait)
        # Hashing takes long, so nobody else's writing waits for it.
        try:
            account = authenticate(session, name=name, password=password)
        except NotAllowed:
            account = None
    with writing(engine) as session:
        if account is not None:
            hours = process.settings().sign_in_hours
            return open_sign_in(
                session,
                account_id=key_of(account),
                hours=hours,
                browser=browser,
                # It may have been changed, and all sign-ins closed, since it was compared.
                password_hash=account.password_hash,
            )
        record_failure(session, name=name, browser=browser, token=known)
    raise NotAllowed("Name and password do not fit; check both, or ask an admin.")


def close(token: str) -> SignInWay | None:
    """Close a sign-in and give back the tasks that its account holds (blocks).

    Return how it was opened; None of an unknown one.
    """
    return retried(lambda: _close_once(token))


def _close_once(token: str) -> SignInWay | None:
    with writing(process.engine()) as session:
        account = account_of_token(session, token=token)
        if account is not None:
            release_assignments(session, annotator_id=key_of(account))
        close_sign_in(session, token=token)
        return way_of(session, token=token)


def trouble(words: Words, *, target: str = "/", name: str = "") -> Response:
    """Return the sign-in page that says that the database does not answer."""
    problem = words.say("server.trouble")
    return sign_in_page(words, problem=problem, target=target, name=name, status=503)


def sign_in_page(
    words: Words, *, problem: str = "", target: str = "/", name: str = "", status: int = 200
) -> Response:
    """Return the sign-in page."""
    content = part("sign_in_form").substitute(
        next=escape(target, quote=True),
        name=escape(name, quote=True),
        focus_name="" if name else " autofocus",
        focus_password=" autofocus" if name else "",
        other=_other_way(words, target),
        **{f"say_{each}": escape(words.say(f"sign_in.{each}")) for each in SAID},
    )
    return page(
        words,
        content,
        title=words.say("sign_in.title"),
        lead=words.say("sign_in.lead"),
        problem=problem,
        language_links={"next": target},
        status=status,
    )


def _other_way(words: Words, target: str) -> str:
    oidc = process.settings().oidc
    if not oidc.client_id:
        return ""
    address = escape("/oidc/login?" + urlencode({"next": target}), quote=True)
    label = escape(words.say("sign_in.other", name=oidc.name))
    return f'<a class="other" href="{address}">{label}</a>\n'
