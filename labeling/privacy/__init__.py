"""One person's data: all that is kept of them, exported or erased on request."""
