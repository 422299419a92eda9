"""What every page outside Streamlit looks like, and the headers that it goes out with."""

import secrets
from collections.abc import Mapping
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse

from ui.cookie import LANGUAGE_COOKIE
from ui.entrance import fetched_ahead
from ui.languages import Words, languages, words_for

HERE = Path(__file__).parent


@cache
def part(name: str) -> Template:
    """Return a piece of HTML of this folder."""
    return Template((HERE / f"{name}.html").read_text(encoding="utf-8"))


@cache
def _mark() -> str:
    return (HERE.parent / "mark.svg").read_text(encoding="utf-8").strip()


def words_of(request: Request) -> Words:
    """Return the words of the language that was chosen, or that the browser asks for."""
    chosen = request.query_params.get("language") or request.cookies.get(LANGUAGE_COOKIE)
    return words_for(request.headers.get("accept-language"), chosen)


def page(
    words: Words,
    content: str,
    *,
    title: str,
    lead: str,
    problem: str = "",
    language_links: Mapping[str, str] | None = None,
    script: str = "",
    refresh: str = "",
    status: int = 200,
) -> HTMLResponse:
    """Return a page; `content` and `script` are HTML, all else is text.

    `language_links` has the query that shows this page in another language, added to `/login`;
    None: no links. `script` is the name of a piece that has the page's one script. `refresh` is
    where the browser goes on to at once: a path of this server, or the provider's address.
    """
    nonce = secrets.token_urlsafe(12)
    said = f'<div class="problem" role="alert">{escape(problem)}</div>' if problem else ""
    text = part("frame").substitute(
        nonce=nonce,
        font=_font_path(),
        mark=_mark(),
        title=escape(title),
        lead=escape(lead),
        problem=said,
        content=content,
        # Who is sent on at once is not here long enough.
        ahead="" if refresh else fetched_ahead.links(),
        refresh=f'<meta http-equiv="refresh" content="0;url={escape(refresh)}">' if refresh else "",
        language=words.language,
        direction=words.direction,
        languages="" if language_links is None else _links(words, language_links),
        script=part(script).substitute(nonce=nonce) if script else "",
    )
    scripts = f"script-src 'nonce-{nonce}'; " if script else ""
    policy = (
        f"default-src 'none'; {scripts}style-src 'nonce-{nonce}'; font-src 'self'; "
        "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {"content-security-policy": policy, "cache-control": "no-store"}
    return HTMLResponse(text, status_code=status, headers=headers)


def _links(words: Words, query: Mapping[str, str]) -> str:
    links = [
        f'<a href="/login?{escape(urlencode({"language": code, **query}))}" '
        f'lang="{code}">{escape(name)}</a>'
        for code, name in languages().items()
        if code != words.language
    ]
    return " · ".join(links)


@cache
def _font_path() -> str:
    """Return the path under which Streamlit serves its own font, so that both pages match."""
    import streamlit

    folder = Path(streamlit.__file__).parent / "static" / "static" / "media"
    fonts = sorted(folder.glob("SourceSansVF-Upright*.woff2"))
    return f"/static/media/{fonts[0].name}" if fonts else ""
