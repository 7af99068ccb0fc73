"""Dashboards as code, with Grafana's own schema package. ``python -m monitoring.grafana`` writes ``dashboards/*.json``.

For whoever changes a dashboard; no service imports it, and Grafana reads only the JSON.
"""
