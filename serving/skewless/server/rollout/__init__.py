"""Which loaded version answers a request: live models, roles, router, shadow. It imports predict."""
