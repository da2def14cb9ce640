"""Flatbuffer files read without a toolchain, every offset checked."""
