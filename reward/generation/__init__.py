"""Completions: sampling, servers, and the pool of new tasks."""
