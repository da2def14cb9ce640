"""What each operation of ML Programs computes: one function per operation, one file per family.

To add an operation, write its function in the file of its family (or a new file in this folder:
every module of it is imported)::

    @op("clamped_relu")
    def clamped_relu(*, x: Tensor, alpha: float, beta: float) -> Tensor:
        \"\"\"Give x below beta; negative x times alpha.\"\"\"
        return torch.where(x >= 0, x, x * alpha).clamp(max=beta)

Parameters are keyword-only and named as in MIL; those that may be left out have MIL's default.
Annotations say how an argument is given, converted once if it is a constant (`Parameter`):
``Tensor``; ``int``, ``float``, ``bool``, ``str`` for scalars; ``Ints``, ``Floats``, ``Bools`` for
vectors; ``Tensors`` for several tensors (``values``); ``Values`` for several values of any kind
(``loop_vars``); ``Texts`` for a list of texts; `State`, `TensorList`; ``Any`` for anything as it
is; each ``| None`` if None is its default. What is of another kind is refused before the call;
``signatures`` says which element types go together, and is to list an operation that differs from
its default.
A parameter ``blocks: Blocks`` is given the nested blocks as functions, and ``results: Results`` the
declared types of the results. ``max_elements: int`` is the limit for one tensor: an operation whose
results may be larger than its arguments holds their shapes to it first (``room``). A tuple returned
is several results; None is no result.

Kinds. float16 tensors are carried as float32 that holds float16 values, so no function upcasts:
``float`` (the default) computes in float32 and is rounded once to the declared type; ``move`` gives
only values that were in its arguments or are exact in their type (it is not rounded; that the
declared type is that of the arguments is checked by ``type_check``).
``structural`` has effects (states, nested blocks) and is not rounded. Integer results may be of any
integer type: they are checked against the declared type and converted.
``since`` is the first iOS whose operation set has this meaning; the newest one not later than the
program's applies. Operations without a defined result are listed in ``coreml/unverifiable.py``.
No function writes into its arguments: results may share memory with them.
A call that cannot be computed raises `OpError`; the executor adds the operation and its name.
"""
