"""Text of people and models inside Streamlit elements that would read it as Markdown."""

import re

# What becomes a link without any markup (GitHub Flavored Markdown, section 6.9), escaped or not.
_BARE_LINK = re.compile(r"https?(?=://)|www(?=\.)|@(?=[\w-]+\.)", re.IGNORECASE)
_JOINER = "\u2060"  # has no width, and no line breaks at it
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])")


def plain(text: str) -> str:
    """Return Markdown that shows `text` as it is: no image, link, icon or formula in it."""
    return _SPECIAL.sub(r"\\\1", _BARE_LINK.sub(lambda found: found[0] + _JOINER, text))


def without_images(markdown: str) -> str:
    """Return Markdown whose images are left as text: showing one would fetch it."""
    return markdown.replace("![", "&#33;[")
