"""HTTP: routes, the protocol below ASGI, request bodies, problem details. Only the application above it imports it."""
