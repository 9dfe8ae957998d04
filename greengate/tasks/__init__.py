"""What the commands beside check do."""
