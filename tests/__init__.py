"""Mirrors the tree; journey/ tells the whole story."""
