"""The served log by day, and the outcomes (ground truth) of its rows. The other rooms of `monitoring` import it."""
