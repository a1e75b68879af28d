"""What Feast's own `apply` and retrievals do more for a project on our stores, and what `apply` refuses. The stores of
`skewless.feast` install it; it imports `retrieval_job` and `errors` of that room.
"""
