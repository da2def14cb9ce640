"""flatbuffers."""
