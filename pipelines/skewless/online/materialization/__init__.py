"""Windows of arrivals into the online store, with watermarks. It imports `store`."""
