"""Machinery that knows neither HTTP nor a cluster."""
