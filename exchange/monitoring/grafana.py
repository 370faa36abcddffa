"""A dashboard as plain data, and the JSON that Grafana imports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

RUNBOOKS = "docs/monitoring.md"
SCHEMA_VERSION = 39  # Grafana 11; newer versions migrate it on import
WIDTH = 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """One picture of PromQL expressions, by legend; `{{label}}` in a legend is replaced by that label's value.

    `limits` give the values from which on another colour is used; the panel links to the runbook of `alert`.
    """

    title: str
    description: str
    unit: str
    queries: Mapping[str, str]
    kind: Literal["timeseries", "stat", "heatmap", "table"] = "timeseries"
    limits: tuple[tuple[float, str], ...] = ()
    alert: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in Grafana's grid, which is 24 wide."""
        return (4, 4) if self.kind == "stat" else (8, 8)


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a dashboard, filled by a Prometheus query; `regex` cuts the choices out of its answer."""

    name: str
    label: str
    query: str
    regex: str = ""
    is_multi: bool = False


@dataclass(frozen=True)
class Dashboard:
    """A page of panels in rows; `name` is its file name and part of its address, so it never changes."""

    name: str
    title: str
    description: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    variables: tuple[Variable, ...] = ()

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels, from top to bottom."""
        return tuple(panel for _, panels in self.rows for panel in panels)


JOB = Variable("job", "Job", "label_values(exchange_process_start_time_seconds, job)", is_multi=True)


def as_json(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana imports it; people choose data source, job and further filters on the page."""
    return {
        "uid": f"exchange-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["exchange"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [
            {
                "type": "dashboards",
                "title": "Exchange",
                "tags": ["exchange"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "templating": {"list": list(_variables(dashboard))},
        "panels": list(_panels(dashboard)),
    }


def _variables(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    yield {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"}
    for one in (JOB, *dashboard.variables):
        yield {
            "type": "query",
            "name": one.name,
            "label": one.label,
            "datasource": _SOURCE,
            "query": {"query": one.query, "refId": one.name},
            "definition": one.query,
            "regex": one.regex,
            "refresh": 2,  # whenever the time range changes
            "sort": 1,
            "multi": one.is_multi,
            "includeAll": one.is_multi,
            "current": {"text": ["All"], "value": ["$__all"]} if one.is_multi else {},
        }
    yield {"type": "adhoc", "name": "filters", "label": "Filters", "datasource": _SOURCE, "filters": []}


def _panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    number = y = 0
    for title, panels in dashboard.rows:
        number += 1
        place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
        x, y, height = 0, y + 1, 0
        for panel in panels:
            number += 1
            w, h = panel.size
            if x + w > WIDTH:
                x, y, height = 0, y + height, 0
            yield _panel(panel) | {"id": number, "gridPos": {"x": x, "y": y, "w": w, "h": h}}
            x, height = x + w, max(height, h)
        y += height


def _panel(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"value": None, "color": "green"}]
    steps += [{"value": value, "color": color} for value, color in panel.limits]
    defaults: dict[str, Any] = {"unit": panel.unit, "noValue": "none"}
    if panel.limits:
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.kind == "timeseries":
        style = "line" if panel.limits else "off"
        defaults["custom"] = {"fillOpacity": 10, "showPoints": "never", "thresholdsStyle": {"mode": style}}
    made: dict[str, Any] = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OPTIONS[panel.kind],
        "targets": [_target(panel, ref, *query) for ref, query in zip("ABCDEF", panel.queries.items(), strict=False)],
    }
    if panel.kind == "table":  # one row per series, without columns that say nothing
        made["transformations"] = [{"id": "organize", "options": {"excludeByName": {"Time": True}}}]
    if panel.alert:
        url = f"{RUNBOOKS}#{panel.alert.lower()}"
        made["links"] = [{"title": f"Runbook of {panel.alert}", "url": url, "targetBlank": True}]
    return made


def _target(panel: Panel, ref: str, legend: str, expr: str) -> dict[str, Any]:
    target = {"refId": ref, "datasource": _SOURCE, "expr": expr, "legendFormat": legend}
    if panel.kind == "timeseries":
        return target | {"range": True}
    if panel.kind == "heatmap":
        return target | {"range": True, "format": "heatmap"}
    return target | {"instant": True} | ({"format": "table"} if panel.kind == "table" else {})


_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"colorMode": "value", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}},
    "heatmap": {"calculate": False, "color": {"mode": "scheme", "scheme": "Oranges"}, "yAxis": {"unit": "s"}},
    "table": {"showHeader": True},
}
