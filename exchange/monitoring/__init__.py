"""What a monitoring system needs beside the metrics: Grafana's dashboards, Prometheus' rules, a way to write both."""
