"""The steps of a round, one file each; `reward/loop.py` runs them in order."""
