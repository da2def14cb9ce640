"""Judge a written artifact: its content, its ledger, its delegation, its parity, its gates."""
