"""What a run would take, before anything runs."""
