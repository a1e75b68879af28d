"""A local Airflow on the loopback, and the guard that ends its processes. Nothing imports it."""
