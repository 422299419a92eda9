"""Webhooks: other programs are told of the project's events, signed, at least once."""
