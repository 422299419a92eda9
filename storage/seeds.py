"""What a seed may be."""

#: torch, numpy and TRL take 32 bits, and seeds that are derived add to the one that was given
LARGEST_SEED = 2**31 - 1
