"""What reports show, as frames."""
