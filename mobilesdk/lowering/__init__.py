"""What exporters do between a prepared program and a vendor's converter, by format."""
