"""What servers logged, by day, with ground truth. The other rooms of `monitoring` import it."""
