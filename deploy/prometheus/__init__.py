"""What watches the service: Prometheus, its rules, and whom Alertmanager calls."""
