"""Names as people order them: annotator-2 before annotator-10."""

import re

import pandas


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return the key that sorts names by their words, and the numbers in them by size."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.casefold())
        for part in re.findall(r"\d+|\D+", name)
    ]


def by_name(table: pandas.DataFrame, column: str = "name") -> pandas.DataFrame:
    """Return the rows of `table` in the natural order of a column of names."""
    order = sorted(range(len(table)), key=lambda place: natural(str(table[column].iloc[place])))
    return table.iloc[order]
