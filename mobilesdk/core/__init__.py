"""The words of the project as values: model, contract, scheme, step, ledger, artifact."""
