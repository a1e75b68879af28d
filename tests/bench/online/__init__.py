"""The online benchmark: our server, what people assemble today, and the floors under both, in one run."""
