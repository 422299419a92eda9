"""Text of people and models inside Streamlit elements that would read it as Markdown."""

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])")


def plain(text: str) -> str:
    """Return Markdown that shows `text` as it is: no image, link, icon or formula in it."""
    return _SPECIAL.sub(r"\\\1", text)


def without_images(markdown: str) -> str:
    """Return Markdown whose images are left as text: showing one would fetch it."""
    return markdown.replace("![", "&#33;[")
