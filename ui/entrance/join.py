"""Joining by a link: `/join#CODE`, whose code a browser never sends in an address.

The page puts the code from the fragment into a form and sends that, so the code is in no log of a
server or proxy and in no Referer; and what only looks at links (a chat, a scanner of mail) does not
use it up.
"""

from dataclasses import dataclass
from html import escape

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from labeling.accounts import MINIMUM_PASSWORD, close_sign_in, open_sign_in
from labeling.events import from_address
from labeling.keys import key_of
from labeling.people.invitations import Offer, accept, offered
from labeling.people.sign_ins import Browser
from storage.engine import reading, writing
from storage.errors import NotFound, RankloopError, Unavailable
from storage.tables import SignInWay
from ui import process
from ui.cookie import COOKIE
from ui.database import retried
from ui.entrance.browsers import browser_of, form_fields, give_cookie
from ui.entrance.frame import page, part, words_of
from ui.languages import Words
from ui.languages.sentences import translated
from ui.web.guard import sent_from_here

SAID = ("name", "password", "again", "hint", "send")


@dataclass(frozen=True)
class _Given:
    code: str
    name: str
    password: str
    browser: Browser
    own_token: str | None


def routes() -> list[Route]:
    """Return the routes; the limiter is for hashing, as of the sign-in page."""
    hashing = CapacityLimiter(2)

    async def post(request: Request) -> Response:
        return await _answer(request, hashing)

    return [Route("/join", _show, methods=["GET"]), Route("/join", post, methods=["POST"])]


async def _show(request: Request) -> Response:
    return _code_page(words_of(request))


async def _answer(request: Request, hashing: CapacityLimiter) -> Response:
    words = words_of(request)
    if not sent_from_here(request.headers):
        return _code_page(words, problem=words.say("sign_in.elsewhere"), status=403)
    fields = await form_fields(request)
    code = fields.get("code", "").strip()
    try:
        offer = await to_thread.run_sync(_offered, code)
        if fields.get("step") != "join":
            return _join_page(words, offer, code)
        given = _Given(
            code=code,
            name=fields.get("name", "").strip(),
            password=fields.get("password", ""),
            browser=browser_of(request),
            own_token=request.cookies.get(COOKIE),
        )
        if given.password != fields.get("again"):
            problem = words.say("join.differ")
            return _join_page(words, offer, code, problem=problem, name=given.name)
        token = await to_thread.run_sync(_join, given, limiter=hashing)
    except Unavailable as error:
        return _code_page(words, problem=translated(str(error), words), status=503)
    except NotFound:
        return _code_page(words, problem=words.say("join.gone"), status=410)
    except RankloopError as error:
        problem = translated(str(error), words)
        return _join_page(words, offer, code, problem=problem, name=fields.get("name", ""))
    response = RedirectResponse("/", status_code=303)
    give_cookie(response, request, token)
    return response


def _offered(code: str) -> Offer:
    def look() -> Offer:
        with reading(process.engine()) as session:
            return offered(session, code=code)

    return retried(look)


def _join(given: _Given) -> str:
    settings = process.settings()
    with from_address(given.browser.address), writing(process.engine()) as session:
        account = accept(
            session,
            code=given.code,
            name=given.name,
            password=given.password,
            breached=settings.accounts.breached_passwords,
        )
        if given.own_token:
            close_sign_in(session, token=given.own_token)
        return open_sign_in(
            session,
            account_id=key_of(account),
            hours=settings.sign_in_hours,
            way=SignInWay.INVITATION,
            browser=given.browser,
        )


def _code_page(words: Words, *, problem: str = "", status: int = 200) -> Response:
    content = part("code_form").substitute(
        say_code=escape(words.say("join.code")), say_open=escape(words.say("join.open"))
    )
    return page(
        words,
        content,
        title=words.say("join.title"),
        lead=words.say("join.paste"),
        problem=problem,
        script="" if problem else "code_script",
        status=status,
    )


def _join_page(
    words: Words, offer: Offer, code: str, *, problem: str = "", name: str = ""
) -> Response:
    known = offer.account
    content = part("join_form").substitute(
        code=escape(code, quote=True),
        name=escape(known or name, quote=True),
        name_state=" readonly" if known else " autofocus",
        password_state=" autofocus" if known else "",
        fewest=MINIMUM_PASSWORD,
        other="" if known else _other_way(words, code),
        **{f"say_{each}": escape(words.say(f"join.{each}")) for each in SAID},
    )
    role = words.say(f"account_role.{offer.role}")
    if known:
        lead = words.say("join.lead.password", name=known)
    elif offer.project:
        lead = words.say("join.lead.project", role=role, project=offer.project)
    else:
        lead = words.say("join.lead", role=role)
    status = 400 if problem else 200
    return page(
        words, content, title=words.say("join.title"), lead=lead, problem=problem, status=status
    )


def _other_way(words: Words, code: str) -> str:
    oidc = process.settings().oidc
    if not oidc.client_id:
        return ""
    label = escape(words.say("sign_in.other", name=oidc.name))
    return (
        '<form method="post" action="/oidc/begin">'
        f'<input type="hidden" name="code" value="{escape(code, quote=True)}">'
        f'<button class="other" type="submit">{label}</button></form>'
    )
