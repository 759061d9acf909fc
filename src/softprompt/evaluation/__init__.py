"""Trained cells to predictions and scores."""
