"""What energy becomes: emissions by a pinned intensity, and the cost of training."""
