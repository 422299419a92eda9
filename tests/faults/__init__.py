"""What is broken on purpose, and what must hold after it: `make test-faults`."""
