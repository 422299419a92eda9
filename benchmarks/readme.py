"""Put a measured table into the README, between its two markers."""

from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def put(section: str, text: str, *, file: Path = README) -> None:
    """Replace what stands between `<!-- section:begin -->` and `<!-- section:end -->`."""
    begin, end = f"<!-- {section}:begin -->", f"<!-- {section}:end -->"
    before, found, rest = file.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{file} has no section between {begin} and {end}.")
    file.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")
