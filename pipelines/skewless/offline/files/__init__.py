"""Files on disk: durable writes, Parquet readers and writers. The other rooms of `offline` import it."""
