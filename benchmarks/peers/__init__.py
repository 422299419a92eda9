"""The sides of a comparison, each a process of its own that does one unit of work at a go."""
