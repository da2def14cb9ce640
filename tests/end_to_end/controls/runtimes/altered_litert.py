"""The LiteRT runtime, for the files of the exporter of this name."""

from mobilesdk.runtimes.litert import PLUGIN

__all__ = ["PLUGIN"]

plugin_api = 1
