"""Every prompt-tuning method on every backbone, under one protocol."""
