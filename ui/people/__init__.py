"""Parts of the pages Your account and Accounts."""
