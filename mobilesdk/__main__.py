"""Run the command line with ``python -m mobilesdk``."""

from mobilesdk.cli import main

if __name__ == "__main__":
    main()
