"""The quality gate for model efficiency."""

__version__ = "0.1.0"
