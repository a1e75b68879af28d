"""What `skewless VERB` costs before it does anything: processor time, and what it imports."""
