"""From a prepared program to an ExecuTorch program."""
