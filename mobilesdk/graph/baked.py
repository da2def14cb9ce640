"""Find the line of a model that takes a size of the example for a constant."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable

from mobilesdk.data.origin import is_source
from mobilesdk.errors import NO_PLACE, ConversionFailed, Place

_VIOLATED = re.compile(r"Constraints violated \(([\w, ]+)\)")
_CONSTANT = re.compile(
    r"marked (\w+) as dynamic but your code specialized it to be a constant "
    r"\((\d+)\)"
)
_GUARD = "[guard added]"
_SPECIALIZING = "Specializing"


def fixed_size(error: Exception, export: Callable[[], object]) -> ConversionFailed | None:
    """Explain that a model does not take all sizes of a dimension.

    Args:
        error: What ``torch.export`` raised.
        export: Exports once more: the place is known only while that goes on.

    Returns:
        ``None`` if the error is about something else.
    """
    text = str(error)
    violated, constant = _VIOLATED.search(text), _CONSTANT.search(text)
    if violated is None:
        return None
    what = f"The model takes not all sizes of {violated[1]}: {_reason(text)}"
    if constant is not None:
        what = f"The model takes {constant[1]} for a constant, {constant[2]} in its export."
    return ConversionFailed(
        what,
        hint="the line makes a Python number of the size (by int(), math, numpy, a loop, or an "
        "attribute that it is kept in), or asks for one size: take the size from a tensor wherever "
        "it is needed (x.shape[1]), or take the dimension out of the contract.",
        place=_place(export),
    )


def _reason(text: str) -> str:
    """Give the first line that says what is violated."""
    lines = [line.strip(" -") for line in text.splitlines()[1:] if line.strip().startswith("-")]
    return lines[0] if lines else text.splitlines()[0]


def _place(export: Callable[[], object]) -> Place:
    """Export with an ear to torch's own log; what speaks there runs inside of the line."""
    import torch.fx.experimental._config as config

    logger = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    watch, handlers = _Watch(), logger.handlers
    level, propagates = logger.level, logger.propagate
    logger.handlers, logger.propagate = [watch], False
    logger.setLevel(logging.INFO)
    try:
        with config.patch(print_specializations=True):
            export()
    except Exception:  # noqa: BLE001, S110  it fails as it did before: that is what is explained
        pass
    finally:
        logger.handlers, logger.propagate = handlers, propagates
        logger.setLevel(level)
    return watch.constant or watch.guard or NO_PLACE


class _Watch(logging.Handler):
    """Notes where sizes become constants, and where they are asked about.

    Attributes:
        constant: The first line at which a size became a constant.
        guard: The last line that asked about a size.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.constant: Place | None = None
        self.guard: Place | None = None

    def emit(self, record: logging.LogRecord) -> None:
        message = str(record.msg)
        if _SPECIALIZING not in message and _GUARD not in message:
            return
        own = [frame for frame in traceback.extract_stack() if is_source(frame.filename)]
        if not own:
            return
        place = Place(own[-1].filename, own[-1].lineno)
        if _SPECIALIZING in message:
            self.constant = self.constant or place
        else:
            self.guard = place
