"""The predict server, which answers predictions and takes pushed rows. It imports the contract, `settings` and nothing of the pipelines or Feast."""
