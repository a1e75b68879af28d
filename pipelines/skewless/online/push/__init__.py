"""Single rows into table and online store: from files, programs and Redis streams. It imports `store`."""
