"""Show what was built."""

from __future__ import annotations

from pathlib import Path

from mobilesdk.api.running import PathLike


def report(bundle: PathLike) -> str:
    """Give a bundle as a page of HTML: one file, no scripts, nothing from elsewhere.

    Args:
        bundle: Folder of the bundle.

    Returns:
        Variants with their size, parity and gates; and their layers, the worst first, if the
        bundle was built with ``layers``.

    Raises:
        FileRejected: The bundle is damaged or hostile.
    """
    from mobilesdk.pipeline.reporting import bundle_report

    return bundle_report(Path(bundle))
