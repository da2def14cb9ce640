"""From a prepared program to a Core AI asset, and to a run of it by Apple's runtime for Linux."""
