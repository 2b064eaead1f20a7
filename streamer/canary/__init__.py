"""The whole path from outside, by an edit of one's own: `streamer canary`.

    wiki.py      saves the edit, as any editor does, or nothing where it only watches
    feed.py      reads the feed, as any partner does
    verdict.py   arrived, late, lost or failed, and why (pure)
    metrics.py   what is exported, in a registry of its own
    watch.py     one run after another, until it is told to stop

It knows nothing of the service but its address, and imports none of its stages.
"""
