"""Integer programs that XNNPACK takes whole."""
