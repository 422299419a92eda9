"""Rows of each released version, as that version wrote them: what every later one must bring up."""
