"""Reports: one file per output; each renders a verdict to text."""
