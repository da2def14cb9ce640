"""What tests ask of processes that they have started or ended."""

import threading
from pathlib import Path


def ended(pid):
    """Tell whether a process is gone, or dead and not yet collected."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # gone before the file was opened, or since
        return True
    return state in "ZX"


def eventually(condition, *, tries=2400):
    """Wait for something that happens in another process; False if it never does."""
    waiting = threading.Event()
    return any(condition() or waiting.wait(0.05) for _ in range(tries))
