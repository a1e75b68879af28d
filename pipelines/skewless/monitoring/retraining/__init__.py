"""A challenger trained, compared with the champion, and tried. It imports `model` and `monitoring.drift`."""
