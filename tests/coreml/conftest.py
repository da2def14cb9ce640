from __future__ import annotations

from hypothesis import settings

# No test asserts a time; a busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
