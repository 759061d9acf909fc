"""Task definitions, templates and metrics."""
