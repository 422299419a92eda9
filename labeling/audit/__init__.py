"""The audit log: who signed in, let data out, changed settings, roles and accounts."""
