"""Counters and windows of counts that Prometheus and canary guardrails read. It imports the contract only."""
