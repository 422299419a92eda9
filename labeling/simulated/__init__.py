"""Simulated annotators with a hidden preference."""
