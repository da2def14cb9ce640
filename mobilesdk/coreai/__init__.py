"""Read Core AI assets (``.aimodel``) without Apple's packages.

An asset is a folder: ``main.mlirb``, a program in MLIR bytecode; ``main.hash``, the SHA-256 of it;
``metadata.json``. `bytecode` reads MLIR bytecode of any dialect, `program` what the dialect
``aicode`` of Core AI makes of it, `weights` how constants are stored, `inspection` the whole.
"""
