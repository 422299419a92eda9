"""What people's judgments mean: tasks, leases, rankings, pairs, agreement, formats in and out."""
