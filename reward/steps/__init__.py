"""The steps of a round, one file each; `reward/running/loop.py` runs them in order."""
