"""Source tables: ingest, days, parts, arrivals, compaction, object storage, Delta. It imports `files` and `values`."""
