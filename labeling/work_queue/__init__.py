"""Which task an annotator gets next, how long it is theirs, and what waits."""
