"""What several methods share; each method's own file says how it differs."""
