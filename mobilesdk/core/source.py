"""Where a model comes from: its MODEL argument, and what goes with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mobilesdk.core.contract import Contract
from mobilesdk.core.frozen import Frozen


@dataclass(frozen=True)
class Reference:
    """A MODEL argument, taken apart; nothing is looked up.

    Attributes:
        path: The Python file of a function, or the file or folder that is the model itself.
        module: The dotted name of a module, where there is no path.
        function: What makes the model, or the part of a folder that is it; empty where the path is
            the model.
    """

    path: Path | None = None
    module: str = ""
    function: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Take ``file.py:function``, ``package.module:function`` or a path apart.

        With a slash in it, ``folder/name:part`` is a path, too.
        """
        source, _, function = text.rpartition(":")
        if function.isidentifier() and (source.endswith(".py") or "/" in source):
            return cls(path=Path(source), function=function)
        if function.isidentifier() and all(part.isidentifier() for part in source.split(".")):
            return cls(module=source, function=function)
        return cls(path=Path(text))

    @property
    def stem(self) -> str:
        """The last part of its name: of the file without suffix, or of the module."""
        return self.module.rpartition(".")[2] if self.path is None else self.path.stem

    def below(self, folder: Path) -> Reference:
        """Give the same with a path that is relative to a folder."""
        return self if self.path is None else replace(self, path=folder / self.path)

    def resolved(self) -> Reference:
        """Give the same with an absolute path without links."""
        return self if self.path is None else replace(self, path=self.path.resolve())

    def bare(self) -> Reference:
        """Give the same without the folders of its path."""
        return self if self.path is None else replace(self, path=Path(self.path.name))

    def __str__(self) -> str:
        place = self.module if self.path is None else str(self.path)
        if self.path is not None and "/" not in place and self.path.suffix != ".py":
            place = f"./{place}" if self.function else place  # as `parse` takes it
        return f"{place}:{self.function}" if self.function else place


class ModelSource(Frozen):
    """What a frontend is asked to read.

    Attributes:
        reference: The MODEL argument; `Reference.parse` takes it apart.
        weights: A state file for the module that a factory gives.
        contract: Overrides or completes what the model states of itself.
        trusted: Whether the user has said that files of the model may run code when they are
            loaded; a factory does so in any case.
    """

    reference: str
    weights: Path | None = None
    contract: Contract | None = None
    trusted: bool = False
