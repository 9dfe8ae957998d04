"""Measuring: the only room that imports model runtimes."""
