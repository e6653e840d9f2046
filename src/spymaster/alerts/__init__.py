"""Alerts: rules over the topics, each alert once in the lake and at least once with who asked."""
