"""Core ML packages (ML Programs) without Apple's tools: read, decode, encode, rewrite.

``package`` opens an ``.mlpackage``; ``model`` and ``program`` are its protobuf as typed values;
``blob`` reads ``weight.bin``; ``constexpr`` decodes compressed constants; ``encode`` is its
inverse; ``weights`` lists what is stored; ``canonical`` rewrites a package to reproducible bytes.
Every reader treats its input as hostile and raises `FileRejected`.
"""
