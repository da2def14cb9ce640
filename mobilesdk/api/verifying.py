"""Check what is already there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mobilesdk.api.running import PathLike, add_plugins, ignore, new_workers, opened_cache
from mobilesdk.errors import InvalidModel, UsageError

if TYPE_CHECKING:
    from mobilesdk.pipeline.tasks import Listener
    from mobilesdk.pipeline.verification import VerifyReport


def verify(
    path: PathLike,
    *,
    model: str | None = None,
    evaluation: PathLike | None = None,
    contract: PathLike | None = None,
    weights: PathLike | None = None,
    trust_model: bool = False,
    tokenizer: str | None = None,
    plugins: Sequence[PathLike] = (),
    listener: Listener | None = None,
) -> VerifyReport:
    """Check a bundle, or an artifact that somebody else built against its model.

    Of a bundle: every hash, every gate by its stored figure, every artifact from disk, and the
    goldens of each that can be run here.
    Of an artifact: its structure, and its parity with the model on the evaluation set.

    Args:
        path: A bundle or an artifact.
        model: The float model, for an artifact.
        evaluation: The set to measure parity on, for an artifact.
        contract: As for `plan`.
        weights: As for `plan`.
        trust_model: As for `plan`.
        tokenizer: As for `plan`.
        plugins: Files of plug-ins.
        listener: Called with every event.

    Raises:
        FileRejected: The bundle or artifact is damaged or hostile.
        UsageError: An artifact was given without its model.
    """
    from mobilesdk.bundle.manifest import MANIFEST_NAME
    from mobilesdk.pipeline.foreign import verify_foreign
    from mobilesdk.pipeline.places import look_up
    from mobilesdk.pipeline.request import single
    from mobilesdk.pipeline.verification import verify_bundle

    files = add_plugins(plugins)
    place = look_up(Path(path))
    if (place / MANIFEST_NAME).exists():
        with opened_cache() as store, new_workers() as workers:
            return verify_bundle(place, store, workers, listener or ignore, files)
    if not place.exists():
        raise UsageError(f"{place} does not exist.", hint="give a bundle or an artifact.")
    if model is None:
        raise InvalidModel(
            f"{place} is no bundle, and no model was given to compare it with.",
            hint="give --model file.py:function.",
        )
    request = single(
        model,
        evaluation=evaluation,
        contract=contract,
        weights=weights,
        trust_model=trust_model,
        tokenizer=tokenizer,
    )
    with opened_cache() as store, new_workers() as workers:
        return verify_foreign(place, request, store, workers, listener or ignore, files)
