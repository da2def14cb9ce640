"""Templates that the tests of one process share, so that each imports its toolchain once.

A command in a process of its own has templates of its own. Commands that tests run in the process
of pytest would start them again for every test.
"""

from mobilesdk.pipeline import template

_OF_ONE_TEST = frozenset({"PYTEST_CURRENT_TEST", "XDG_CACHE_HOME"})  # workers look at neither
_MOST = 8


class SharedTemplates:
    """Stands in for `template.Template`: gives running ones to whoever needs the same."""

    def __init__(self):
        self._running = {}

    def __call__(self, preloads, environment, base=None):
        """Lend a template; it is started if there is none of these modules and environment."""
        key = (
            preloads,
            frozenset(
                (name, value) for name, value in environment.items() if name not in _OF_ONE_TEST
            ),
        )
        lent = self._running.pop(key, None)
        if lent is None or lent.ended:
            lent = _Lent(preloads, environment, base)
        self._running[key] = lent
        while len(self._running) > _MOST:
            self._running.pop(next(iter(self._running))).end()
        return lent

    def close(self):
        """End them all."""
        for lent in self._running.values():
            lent.end()


class _Lent(template.Template):
    """A template that outlives those who use it: each of them has ended its own workers."""

    def close(self):
        """Keep it running."""

    def end(self):
        """End it."""
        super().close()
