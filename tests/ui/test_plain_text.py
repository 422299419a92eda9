import pytest

from ui.plain_text import plain, without_images


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ada", "ada"),
        ("![x](http://a)", "\\!\\[x\\]\\(http\u2060\\://a\\)"),
        ("www.a.b a@b.c", "www\u2060\\.a\\.b a@\u2060b\\.c"),
        ("<b>:smile: $x$", r"\<b\>\:smile\: \$x\$"),
    ],
)
def test_markdown_is_escaped(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_images_in_guidelines_stay_text() -> None:
    assert without_images("![a](b) and ![c][d]") == "&#33;[a](b) and &#33;[c][d]"
