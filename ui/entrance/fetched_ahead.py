"""What the browser fetches while a person types their name: the scripts of the first page.

They are some sixty files, and each names the next ones only when it is there.
"""

from functools import cache
from html import escape
from pathlib import Path

from ui.web.script_files import asked_for_at_once, named, needed, static_folder

#: Beside those that Streamlit's page asks for at once: what every page of ours draws with.
ALSO = ("StreamlitMarkdown", "Html", "BidiComponent", "Toolbar", "ErrorElement")


@cache
def links() -> str:
    """Return the HTML that has the browser fetch them when it has nothing else to do."""
    icons = [f"/static/media/{file.name}" for file in _media("MaterialSymbols-Rounded*.woff2")]
    return "\n".join(f'<link rel="prefetch" href="{escape(path)}">' for path in paths() + icons)


def paths() -> list[str]:
    """Return the paths of the scripts and styles, in the order in which they are needed."""
    return needed(asked_for_at_once() + named(*ALSO))


def _media(pattern: str) -> list[Path]:
    return sorted((static_folder() / "static" / "media").glob(pattern))
