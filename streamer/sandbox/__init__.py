"""A small invented wiki with its stream and its API, on loopback."""
