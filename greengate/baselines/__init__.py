"""Baselines: where the model to compare with comes from."""
