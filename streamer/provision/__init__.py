"""What the settings and partners.toml ask of a cluster: topics, users, ACLs and quotas.

    settings, partners ──► desired ──┐
                                     ├──► plan (pure) ──► steps ──► cluster
    the cluster ──► present ─────────┘

`purge` takes one partner's away.
"""
