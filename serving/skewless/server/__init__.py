"""The predict server: how a prediction is made, now. It imports the contract, `settings` and nothing of the pipelines or Feast."""
