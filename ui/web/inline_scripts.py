"""Hashes of the scripts that Streamlit's page has in itself, so that a policy admits no others."""

import base64
import hashlib
from html.parser import HTMLParser
from pathlib import Path


class _Inline(HTMLParser):
    """Collects the text of each script that has no address."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script" and not any(name == "src" for name, _ in attrs)
        if self._inside:
            self.found.append("")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"


def page_hashes() -> list[str]:
    """Return the hashes of the inline scripts of Streamlit's one page, as a policy names them."""
    import streamlit

    page = Path(streamlit.__file__).parent / "static" / "index.html"
    return hashes_of(page.read_text(encoding="utf-8"))


def hashes_of(page: str) -> list[str]:
    """Return `'sha256-…'` of each inline script, in order (CSP Level 3, section 2.3.1)."""
    parser = _Inline()
    parser.feed(page)
    digests = (hashlib.sha256(text.encode()).digest() for text in parser.found)
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
