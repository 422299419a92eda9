"""Taking a whole database somewhere else: to the other kind, into a backup, and back."""
