"""The worker: its lease, its rounds, its processes."""
