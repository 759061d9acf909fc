"""What is published about a run of the pipeline, before any tracking store is opened."""
