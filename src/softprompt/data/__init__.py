"""Sources, file formats, validation, prepared tables."""
