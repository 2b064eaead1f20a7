"""Grafana's dashboards, made by Python: `python -m deploy.grafana` writes dashboards/."""
