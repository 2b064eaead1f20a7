"""The partner's side of the feed. Imports nothing of `streamer`."""
