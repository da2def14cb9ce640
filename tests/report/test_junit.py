from xml.etree.ElementTree import fromstring

from mobilesdk.bundle.manifest import Failure, Manifest
from mobilesdk.errors import MobileSDKError, PlanRefused, Problem, VariantFailure, WorkerCrashed
from mobilesdk.report.junit import error_xml, junit_xml


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


def outcomes(error: MobileSDKError) -> list[tuple[str, str, str, str]]:
    root = fromstring(error_xml(error))
    assert root.get("tests") == root.get("errors") == str(len(list(root.iter("testcase"))))
    return [
        (suite.get("name"), case.get("classname"), case.get("name"), case.find("error").text)
        for suite in root
        for case in suite
    ]


def test_a_build_of_which_nothing_is_left_names_each_variant():
    error = WorkerCrashed("two things", hint="")
    error.failures = tuple(
        VariantFailure(model, "t", "export", "worker-crashed", "it ended", "look", 6)
        for model in ("a", "b")
    )
    assert outcomes(error) == [
        ("a", "a.t", "export", "it ended\nlook"),
        ("b", "b.t", "export", "it ended\nlook"),
    ]


def test_a_refused_plan_names_each_problem_and_another_error_itself():
    problems = [Problem("invalid-dataset", "no set"), Problem("usage", "no\x1btool")]
    assert outcomes(PlanRefused(problems, hint="see")) == [
        ("build", "build", "problem 1", "no set\nsee"),
        ("build", "build", "problem 2", "no?tool\nsee"),
    ]
    assert outcomes(MobileSDKError("broken")) == [("build", "build", "problem 1", "broken\n")]
