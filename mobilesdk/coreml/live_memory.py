"""How much memory the values of a run take together, held to a limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from mobilesdk.coreml.ops.lists import TensorList
from mobilesdk.coreml.ops.registry import TooLarge

SMALLEST_BYTES = 1 << 12
"""Pieces of memory below are not counted; a run has at most as many as it has operations."""
_POINTER_BYTES = 8


class LiveMemory:
    """Counts the bytes of constants and states, which stay, and of the values of one run.

    Values that share memory count once, and a part of a tensor counts as the whole that it keeps.
    What an operation needs while it computes is not counted.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Count from 0; so many bytes may be held at a time."""
        self._limit_bytes = limit_bytes
        self._kept_bytes = 0
        self._run_bytes = 0
        self._users: dict[int, int] = {}  # by address
        self._held: dict[int, tuple[tuple[int, int], ...]] = {}  # address and bytes, by slot

    def check_room(self, size_bytes: int) -> None:
        """Refuse something that would be too much, before it is made.

        Raises:
            TooLarge: With it, more would be held than the limit.
        """
        held_bytes = self._kept_bytes + self._run_bytes + size_bytes
        if held_bytes > self._limit_bytes:
            raise TooLarge(
                f"with it, {held_bytes} bytes are held at a time: the limit is {self._limit_bytes}"
            )

    def keep(self, size_bytes: int) -> None:
        """Count something that stays."""
        self._kept_bytes += size_bytes

    def forget_run(self) -> None:
        """Count the values of a run no more."""
        self._run_bytes = 0
        self._users = {}
        self._held = {}

    def put(self, slot: int, value: Any) -> None:
        """Count what a slot of a run holds from now on.

        Raises:
            TooLarge: It is too much.
        """
        if slot in self._held:
            self.free(slot)
        parts = tuple(_parts(value))
        if not parts:
            return
        self._held[slot] = parts
        users = self._users
        for address, size_bytes in parts:
            if address in users:
                users[address] += 1
            else:
                users[address] = 1
                self._run_bytes += size_bytes
        if self._kept_bytes + self._run_bytes > self._limit_bytes:
            self.check_room(0)

    def free(self, slot: int) -> None:
        """Count what a slot holds no more."""
        users = self._users
        for address, size_bytes in self._held.pop(slot, ()):
            if users[address] > 1:
                users[address] -= 1
            else:
                del users[address]
                self._run_bytes -= size_bytes


def _parts(value: Any) -> Iterator[tuple[int, int]]:
    """Give the address and the bytes of each piece of memory that a value keeps."""
    if isinstance(value, Tensor):
        storage = value.untyped_storage()
        if storage.nbytes() >= SMALLEST_BYTES:
            yield storage.data_ptr(), storage.nbytes()
    elif isinstance(value, TensorList):
        yield id(value.items), _POINTER_BYTES * len(value.items)
        for item in {id(item): item for item in value.items}.values():
            yield from _parts(item)
