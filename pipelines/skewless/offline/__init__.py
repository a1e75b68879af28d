"""The offline store: tables, values, files and the point-in-time join. It imports state and what is below it."""
