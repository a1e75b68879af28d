"""The server's edge: routes by protocol, and the one table from errors to HTTP."""
