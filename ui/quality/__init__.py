"""What the leads' pages of quality show: agreement, annotators, throughput, known answers."""
