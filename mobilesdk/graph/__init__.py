"""Exported programs on the torch side: files, preparation, and what each weight is for.

The only layer besides the plug-ins that imports torch; plug-ins import it inside functions.
"""
