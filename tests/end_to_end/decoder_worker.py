"""Continue prompts from an artifact of the decoder; a process of its own for each toolchain.

Arguments: the format, the artifact, the prompts as JSON, how many tokens to take. The contract is
read from the standard input, tokens are written to the standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mobilesdk.core.contract import Contract
from mobilesdk.plugins import StatefulSession, runtime

Step = Callable[[int, int], Any]


def greedy(step: Step, prompt: Sequence[int], count: int) -> list[int]:
    """Take the likeliest token each time; give what follows the prompt."""
    tokens = list(prompt)
    for position in range(len(prompt) + count - 1):
        best = int(step(tokens[position], position).argmax())
        if position >= len(prompt) - 1:
            tokens.append(best)
    return tokens[len(prompt) :]


def _session_step(session: StatefulSession) -> Step:
    session.reset()
    return lambda token, position: session.run(
        {"token": np.array([[token]]), "position": np.array([position])}
    )["logits"]


def main(name: str, artifact: str, prompts: str, count: str) -> None:
    contract = Contract.model_validate_json(sys.stdin.read())
    session: Any = runtime(name).load(Path(artifact), contract, 1)
    found = [greedy(_session_step(session), prompt, int(count)) for prompt in json.loads(prompts)]
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
