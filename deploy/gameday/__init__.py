"""Practice: a service on the invented wiki, watched as in production, in which one thing breaks.

    world.py       sandbox, service, canary, a partner, Prometheus
    scenarios.py   what can break, how it is healed, and which alert is right
    prometheus.py  those rules, so many times as fast, and which alerts fire
    drill.py       an exercise for a person, or all of them by themselves

All of it is on loopback, in a folder that is removed at the end, and ends with the process that began it.
"""
