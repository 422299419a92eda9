"""Alembic migrations; `storage.migrate` runs them and `storage.migrations.draft` adds one."""
