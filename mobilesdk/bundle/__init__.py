"""The bundle: canonical bytes, hashes, atomic writes, the manifest, and the store on disk."""
