"""Prepare the sets of a build before anything long runs, and tell all that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mobilesdk.data.checks import check_disjoint
from mobilesdk.data.stored import StoredSamples
from mobilesdk.errors import InvalidDataset, UsageError
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.schedule import Schedule
from mobilesdk.pipeline.task_graph import Graph


def set_faults(graph: Graph, schedule: Schedule, cache: Cache) -> Iterator[UsageError]:
    """Prepare every set of a graph; give what makes one unusable, with its model and its role.

    Raises:
        MobileSDKError: A set could not be prepared for another reason, a full disk for example.
    """
    failures = schedule.run([key for sets in graph.sets.values() for key in sets.values()])
    for model, sets in graph.sets.items():
        for role, key in sets.items():
            error = failures.get(key)
            if isinstance(error, UsageError):
                path = graph.tasks[key].config["path"]
                message = f"{model}: the {role} set {path}: {error.message}"
                yield type(error).restore(message, error.hint)
            elif error is not None:
                raise error
        if not failures.keys() & sets.values():
            yield from _shared_samples(model, sets, cache)


def _shared_samples(model: str, sets: Mapping[str, str], cache: Cache) -> Iterator[UsageError]:
    if len(sets) < 2:
        return
    stored = {role: StoredSamples(cache.folder(key)).index.samples for role, key in sets.items()}
    try:
        check_disjoint(stored["evaluation"], stored["calibration"])
    except InvalidDataset as error:
        yield InvalidDataset(f"{model}: {error.message}", hint=error.hint)
