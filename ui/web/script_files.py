"""Streamlit's own scripts and styles: under which paths they are served, and which need which."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

KINDS = {".js": "text/javascript", ".css": "text/css"}
_IMPORTED = re.compile(r"""(?:\bfrom|\bimport)\s*["']\./([\w.-]+\.js)["']""")
_ASKED_FOR = re.compile(r"""(?:src|href)="\./(static/[^"]+\.(?:js|css))\"""")


def static_folder() -> Path:
    """Return the folder of Streamlit's one page and of all that it loads."""
    import streamlit

    return Path(streamlit.__file__).parent / "static"


@cache
def served_files() -> dict[str, Path]:
    """Return the scripts and styles, by the path under which Streamlit serves them."""
    root = static_folder()
    return {
        f"/{file.relative_to(root).as_posix()}": file
        for kind in KINDS
        for file in sorted((root / "static").rglob(f"*{kind}"))
    }


def asked_for_at_once() -> list[str]:
    """Return the paths that Streamlit's one page names."""
    page = (static_folder() / "index.html").read_text(encoding="utf-8")
    return [f"/{found}" for found in _ASKED_FOR.findall(page)]


def named(*names: str) -> list[str]:
    """Return the paths of the files that are named so, before the hash in their names."""
    return [path for path in served_files() if Path(path).name.split(".", 1)[0] in names]


def needed(paths: Iterable[str]) -> list[str]:
    """Return the paths, what those files import, and so on: nearest first.

    An import within a condition (`import(…)`) is left out: what most pages do without.
    """
    files, waiting = served_files(), list(paths)
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
