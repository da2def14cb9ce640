"""Refuse an artifact that is wrong on its face, before anything is compared."""

from __future__ import annotations

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.errors import ArtifactInvalid

_NAMED = 10


def enforce_sound(info: ArtifactInfo) -> None:
    """Pass an artifact whose inspection found nothing wrong.

    Raises:
        ArtifactInvalid: It has problems, or weights that are not finite; the first ten are named.
    """
    problems = [
        *info.problems,
        *(
            f"the weight {weight.name} of {weight.op} holds numbers that are not finite"
            for weight in info.weights
            if not weight.finite
        ),
    ]
    if not problems:
        return
    named = "\n  - ".join(problems[:_NAMED])
    more = f"\n  and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    raise ArtifactInvalid(
        f"The written {info.format} file has {len(problems)} problem(s):\n  - {named}{more}",
        hint="a number that float16 cannot hold (an attention mask of -1e38, say) becomes "
        "infinite: use -1e4 in the model, or float32 precision in the target.",
    )
