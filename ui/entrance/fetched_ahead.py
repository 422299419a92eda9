"""What the browser fetches while a person types their name: the scripts of the first page.

They are some sixty files, and each names the next ones only when it is there.
"""

import re
from functools import cache
from html import escape
from pathlib import Path

from ui.packed_files import served_files, static_folder

#: Beside those that Streamlit's page asks for at once: what every page of ours draws with, found by
#: what comes before the hash in their names.
ALSO = ("StreamlitMarkdown", "Html", "BidiComponent", "Toolbar", "ErrorElement")
_IMPORTED = re.compile(r"""(?:\bfrom|\bimport)\s*["']\./([\w.-]+\.js)["']""")
_ASKED_FOR = re.compile(r"""(?:src|href)="\./(static/[^"]+\.(?:js|css))\"""")


@cache
def links() -> str:
    """Return the HTML that has the browser fetch them when it has nothing else to do."""
    icons = [f"/static/media/{file.name}" for file in _media("MaterialSymbols-Rounded*.woff2")]
    return "\n".join(f'<link rel="prefetch" href="{escape(path)}">' for path in paths() + icons)


def paths() -> list[str]:
    """Return the paths of the files: Streamlit's first, what they import, and so on.

    An import within a condition (`import(…)`) is left out: what most pages do without.
    """
    files = served_files()
    page = (static_folder() / "index.html").read_text(encoding="utf-8")
    waiting = [f"/{found}" for found in _ASKED_FOR.findall(page)]
    waiting += [path for path in files if _stem(path) in ALSO]
    found: dict[str, None] = {}
    while waiting:
        path = waiting.pop(0)
        if path in found or path not in files:
            continue
        found[path] = None
        if path.endswith(".js"):
            text = files[path].read_text(encoding="utf-8")
            waiting += [f"/static/js/{name}" for name in _IMPORTED.findall(text)]
    return list(found)


def _media(pattern: str) -> list[Path]:
    return sorted((static_folder() / "static" / "media").glob(pattern))


def _stem(path: str) -> str:
    return Path(path).name.split(".", 1)[0]
