"""The served log replayed through the join, and the cause of each difference. It imports `served_log`."""
