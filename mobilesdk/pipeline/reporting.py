"""Show a bundle to people: its figures, and the layers where they were compared."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from mobilesdk.bundle.manifest import Variant, read_manifest, resolve
from mobilesdk.core.layers import LayerReport
from mobilesdk.errors import FileRejected
from mobilesdk.pipeline.claims import check_claims
from mobilesdk.pipeline.recorded import MAX_RECORD_BYTES
from mobilesdk.pipeline.verification import check_files
from mobilesdk.report.bundle import bundle_page


def bundle_report(bundle: Path) -> str:
    """Give a page of HTML on a bundle, from what is stored in it.

    Raises:
        FileRejected: A file is missing, changed, damaged, or not named by the manifest, or the
            manifest contradicts itself.
    """
    manifest = read_manifest(bundle)
    check_files(bundle, manifest)
    check_claims(manifest)
    layers = {
        (model.name, variant.target): _layers(bundle, variant)
        for model in manifest.models
        for variant in model.variants
        if "layers" in variant.records
    }
    return bundle_page(manifest, bundle.resolve().name, layers)


def _layers(bundle: Path, variant: Variant) -> LayerReport:
    name = variant.records["layers"]
    path = resolve(bundle, name)
    if path.stat().st_size > MAX_RECORD_BYTES:
        raise FileRejected(f"{name} is larger than {MAX_RECORD_BYTES} bytes.")
    try:
        return LayerReport.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise FileRejected(
            f"{name} is no record of layers: {error}",
            hint="fetch the bundle again, or build it again.",
        ) from error
