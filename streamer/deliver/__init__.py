"""The partner's endpoint: the fourth role."""
