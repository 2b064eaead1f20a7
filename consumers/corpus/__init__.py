"""A corpus that is at every moment what the wikis say, minus what they withdrew."""
