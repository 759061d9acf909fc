"""Parts: what a member trains or searches, one class each."""
