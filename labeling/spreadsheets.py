"""Cells of CSV files for people: a spreadsheet must run nothing that stands in one."""

# What a spreadsheet takes for the start of a formula, in both widths, and white space before which
# it still looks for one (OWASP, CSV Injection).
_FORMULA = (*"=+-@", *"\t\r\n", *"＝＋－＠")


def defused(text: str) -> str:
    """Return the text of a cell, with an apostrophe before it where it would be a formula."""
    return f"'{text}" if text.lstrip(" \u00a0\ufeff").startswith(_FORMULA) else text
