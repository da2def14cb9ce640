"""From a prepared program to a LiteRT file."""
