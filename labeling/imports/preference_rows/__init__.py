"""Rows of other people's preferences, one module a format.

Each module of a format has `SHAPE` (its columns, and what messages say) and `read(row, place)`,
which yields what the row holds. The formats are those of `labeling/formats`, and `long`.
"""
