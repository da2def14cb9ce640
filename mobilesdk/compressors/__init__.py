"""Compression methods: one file each, which keeps the form of the model it is given."""
