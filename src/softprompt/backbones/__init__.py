"""Pretrained models: loading, pretraining, attention with prefixes."""
