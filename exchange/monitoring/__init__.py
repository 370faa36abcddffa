"""What a monitoring system needs besides the metrics: Grafana dashboards and Prometheus rules, and their export."""
