"""Shapes in which data leaves Rankloop, one file each."""
