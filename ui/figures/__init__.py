"""The figures of leads' pages: measured once, kept in memory and in files, and renewed."""
