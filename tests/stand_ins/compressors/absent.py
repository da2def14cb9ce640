"""A compressor whose toolchain nobody has."""

from mobilesdk.core.form import Form, Needs
from mobilesdk.core.step import StepConfig
from mobilesdk.plugins import Tool

plugin_api = 1


class Absent:
    config = StepConfig
    tools = (Tool(distribution="no-such-toolchain", extra="absent"),)
    preloads = ()
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    requires = frozenset()
    forbids = frozenset()
    adds = frozenset()

    def needs(self, config):
        return Needs.NONE

    def request(self, config, before):
        return before

    def refuse(self, config, summary):
        return []

    def apply(self, model, config, context):
        raise AssertionError("never runs")


PLUGIN = Absent()
