import pytest

from ui.cookie import safe_path


@pytest.mark.parametrize("path", ["/", "/rounds", "/quality?x=1", "/a%2F..//b"])
def test_a_path_of_this_server_is_kept(path: str) -> None:
    assert safe_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None, "", "rounds", "//evil.example", "///evil.example", "https://evil.example",
        "/\\evil.example", "/\t/evil.example", "/a\r\nSet-Cookie: x=1", "javascript:alert(1)",
        "/logout", "/login?next=/",
    ],
)  # fmt: skip
def test_anything_else_leads_home(path: str | None) -> None:
    assert safe_path(path) == "/"
