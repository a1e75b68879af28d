"""What a run found, for people (one HTML page that needs no network), for machines (JSON) and for Prometheus."""
