"""Tuning methods: how a role of the backbone may differ from the bare model."""
