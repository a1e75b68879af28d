"""Single rows pushed by many writers: Skewless beside Feast's feature server, in one run."""
