"""The HTTP API: JSON for programs, with an access token; docs/api.md has examples."""
