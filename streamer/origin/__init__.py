"""What asks Wikimedia anything, for every role: one budget, one session, one allow-list."""
