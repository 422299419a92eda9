"""Shapes of exported rows, one module a format.

Each module that `registry.NAMES` lists has `HELP` (one sentence), `UNIT` (what one row is of),
`SCHEMA` (the columns, as Arrow types) and `rows(example)`, which yields the rows of one `Example`
as JSON objects.
"""
