"""Grafana dashboards of the exchange, one per module. `docs/monitoring.md` says what each metric means."""

from exchange.monitoring.dashboards.connector import CONNECTOR
from exchange.monitoring.dashboards.department import DEPARTMENT
from exchange.monitoring.dashboards.ledger import LEDGER
from exchange.monitoring.dashboards.overview import OVERVIEW
from exchange.monitoring.dashboards.router import ROUTER

DASHBOARDS = (OVERVIEW, DEPARTMENT, ROUTER, CONNECTOR, LEDGER)
