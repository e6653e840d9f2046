"""Rows of a fixed width in a long array of words, as compiled code likes them.

A view made by slicing and reshaping is handed its width at run time, and every access multiplies
by it. Here a width that is a constant is part of the code, and the place of a number costs nothing.
"""

from __future__ import annotations

from typing import Any

from numba import config, types
from numba.extending import intrinsic

from spymaster.kernel.layout import I64


def rows(words: I64, at: int, n: int, width: int) -> I64:
    """`n` rows of `width` words from `words[at]` on, as a view of them."""
    return words[at : at + n * width].reshape(n, width)


@intrinsic(prefer_literal=True)
def _compiled_rows(_: Any, words: Any, at: Any, n: Any, width: Any) -> Any:
    made = types.Array(types.int64, 2, "C")
    constant = width.literal_value if isinstance(width, types.IntegerLiteral) else None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        from numba.np.arrayobj import make_array, populate_array

        types_ = signature.args
        whole = make_array(types_[0])(context, builder, args[0])
        start, count, wide = (
            context.cast(builder, value, kind, types.intp)
            for value, kind in zip(args[1:], types_[1:], strict=True)
        )
        if constant is not None:
            wide = context.get_constant(types.intp, constant)
        word = context.get_constant(types.intp, 8)
        view = make_array(made)(context, builder)
        populate_array(
            view,
            data=builder.gep(whole.data, [start]),
            shape=(count, wide),
            strides=(builder.mul(wide, word), word),
            itemsize=word,
            meminfo=None,
            parent=None,
        )
        return view._getvalue()

    return made(words, at, n, width), generate


def _nothing(table: I64, at: int) -> None:
    pass


@intrinsic
def _prefetch(_: Any, table: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        from llvmlite import ir  # type: ignore[import-untyped]
        from numba.np.arrayobj import make_array

        data = make_array(signature.args[0])(context, builder, args[0]).data
        width = context.get_constant(types.intp, 2)
        place = builder.gep(data, [builder.mul(args[1], width)])
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        call = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        hints = [ir.Constant(word, hint) for hint in (0, 3, 1)]  # to read, and again, as data
        builder.call(call, [builder.bitcast(place, byte), *hints])
        return context.get_dummy_value()

    return types.void(table, at), generate


#: The same in compiled code.
compiled_rows = rows if config.DISABLE_JIT else _compiled_rows
#: Say that an entry of a table of pairs will be read soon: memory is fetched meanwhile.
prefetch = _nothing if config.DISABLE_JIT else _prefetch
