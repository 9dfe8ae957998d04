"""Counting operations of a graph, one formula per operator."""
