"""Models of who is right how often, and of what is better than what: pure functions of arrays."""
