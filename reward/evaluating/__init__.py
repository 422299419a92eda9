"""What a candidate policy is worth, and the gate it must pass."""
