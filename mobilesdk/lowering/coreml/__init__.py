"""From a prepared program to a Core ML program."""
