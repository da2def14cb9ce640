"""A build as JUnit XML: a test suite per model, a test case per target and gate."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from mobilesdk.bundle.manifest import Manifest, Variant
from mobilesdk.errors import MobileSDKError

_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(manifest: Manifest, messages: dict[tuple[str, str], str]) -> bytes:
    """Give the XML for a bundle that was written.

    A gate that failed is a failure, a gate without a figure is skipped, a variant that could not
    be built is an error.

    Args:
        manifest: Of the bundle that was written.
        messages: (model, target) → what a failed step said.
    """
    root = _root()
    entries = {model.name: model for model in manifest.models}
    for name in dict.fromkeys([*entries, *(failure.model for failure in manifest.failures)]):
        suite = SubElement(root, "testsuite", name=name)
        for variant in entries[name].variants if name in entries else ():
            _add_variant(suite, name, variant)
        for failure in manifest.failures:
            if failure.model == name:
                case = _case(suite, name, failure.target, failure.step)
                text = messages.get((name, failure.target), failure.code)
                _outcome(case, "error", failure.code, text)
    return _finished(root)


def error_xml(error: MobileSDKError) -> bytes:
    """Give the XML for a build that wrote no bundle: an error for all that kept it from that."""
    root = _root()
    for name in dict.fromkeys(failure.model for failure in error.failures):
        suite = SubElement(root, "testsuite", name=name)
        for failure in error.failures:
            if failure.model == name:
                case = _case(suite, name, failure.target, failure.step)
                _outcome(case, "error", failure.code, f"{failure.text}\n{failure.hint}")
    if not error.failures:
        suite = SubElement(root, "testsuite", name="build")
        for number, problem in enumerate(error.problems, start=1):
            case = SubElement(suite, "testcase", classname="build", name=f"problem {number}")
            _outcome(case, "error", problem.code, f"{problem.text}\n{error.hint}")
    return _finished(root)


def _root() -> Element:
    return Element("testsuites", name="mobilesdk build")


def _finished(root: Element) -> bytes:
    for suite in root:
        _count(suite)
    _count(root)
    indent(root)
    xml: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def _add_variant(suite: Element, model: str, variant: Variant) -> None:
    _case(suite, model, variant.target, "built")
    for gate in variant.gates:
        case = _case(suite, model, variant.target, gate.title)
        if gate.verdict == "failed":
            _outcome(case, "failure", "gate failed", f"{gate.figures}\n{gate.reason}".rstrip())
        elif gate.verdict != "passed":
            what = gate.verdict.replace("_", " ")
            _outcome(case, "skipped", f"{what}: {gate.reason}", "")


def _case(suite: Element, model: str, target: str, name: str) -> Element:
    return SubElement(
        suite, "testcase", classname=f"{model}.{target}", name=_NOT_IN_XML.sub("?", name)
    )


def _outcome(case: Element, kind: str, message: str, text: str) -> None:
    element = SubElement(case, kind, message=_NOT_IN_XML.sub("?", message))
    element.text = _NOT_IN_XML.sub("?", text) or None


def _count(element: Element) -> None:
    element.set("tests", str(len(list(element.iter("testcase")))))
    element.set("failures", str(len(list(element.iter("failure")))))
    element.set("errors", str(len(list(element.iter("error")))))
    element.set("skipped", str(len(list(element.iter("skipped")))))
