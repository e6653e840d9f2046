"""The real-time dashboard: tiles declared once, the page, and the same tiles for Fabric."""
