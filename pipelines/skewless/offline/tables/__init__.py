"""Source tables: days, parts, arrivals, compaction, object storage, Delta. It imports `files` and `values`."""
