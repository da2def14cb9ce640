"""Plan a build, run it in workers, keep what it made in the cache, assemble the bundle."""
