"""What a process says of itself while it runs: its logs and, where they are asked for, traces."""
