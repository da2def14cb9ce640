from xml.etree.ElementTree import fromstring

from mobilesdk.bundle.manifest import Failure, Manifest
from mobilesdk.report.junit import junit_xml


def test_failures_stand_in_the_suite_of_their_model_even_if_it_has_nothing_else():
    manifest = Manifest(
        mobilesdk_version="1",
        releasable=False,
        models=(),
        files=(),
        failures=(
            Failure(model="a", target="t", step="export litert", code="worker-crashed"),
            Failure(model="b", target="t", step="float outputs", code="internal"),
        ),
    )
    root = fromstring(junit_xml(manifest, {("a", "t"): "ended by \x1b[1m SIGABRT <&>"}))
    assert [suite.get("name") for suite in root] == ["a", "b"]
    assert (root.get("tests"), root.get("errors"), root.get("failures")) == ("2", "2", "0")
    error = root.find("testsuite/testcase/error")
    assert error.get("message") == "worker-crashed"
    assert error.text == "ended by ?[1m SIGABRT <&>"
