"""Files on disk: Parquet readers and writers. The other rooms of `offline` import it."""
