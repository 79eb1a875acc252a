"""How signatures and docstrings are read for the site."""

import ast
import dataclasses
import re
from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Keeps shapes as they are written, makes `Example:` the section that it is, gives equinox modules their constructors."""

    def on_function_instance(self, *, node: ast.AST | griffe.ObjectNode, func: griffe.Function, **_: Any) -> None:
        """Writes the types of a function anew, so that a shape is not taken for an expression."""
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        arguments = node.args
        for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            func.parameters[argument.arg].annotation = _annotation(argument.annotation, func)
        func.returns = _annotation(node.returns, func)

    def on_attribute_instance(self, *, node: ast.AST | griffe.ObjectNode, attr: griffe.Attribute, **_: Any) -> None:
        """Writes the type of an attribute anew."""
        if isinstance(node, ast.AnnAssign):
            attr.annotation = _annotation(node.annotation, attr)

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Renames the section, whose name griffe knows only in the plural."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Writes the constructors of equinox modules, which no source holds."""
        for module_class in _classes(pkg):
            if "__init__" not in module_class.members and _is_module(module_class):
                module_class.set_member("__init__", _constructor(module_class))


def _annotation(node: ast.AST | None, obj: griffe.Object) -> griffe.Expr | str | None:
    """Reads a type; a string that is all of it names a class, one inside is a shape."""
    if node is None or obj.parent is None:
        return None
    whole = isinstance(node, ast.Constant)
    return _double_quoted(griffe.get_expression(node, parent=obj.parent, parse_strings=whole))


def _double_quoted(part: Any) -> Any:
    """Quotes strings as the source does, all the way down an expression."""
    if isinstance(part, str):
        return f'"{part[1:-1]}"' if part.startswith("'") else part
    if isinstance(part, list):
        return [_double_quoted(item) for item in part]
    if isinstance(part, griffe.Expr):
        for field in dataclasses.fields(part):
            if field.name != "parent":
                setattr(part, field.name, _double_quoted(getattr(part, field.name)))
    return part


def _classes(obj: griffe.Object) -> list[griffe.Class]:
    found = []
    for member in obj.members.values():
        if member.is_alias:
            continue
        if member.is_class:
            found.append(member)
        if member.is_module or member.is_class:
            found += _classes(member)
    return found


def _is_module(module_class: griffe.Class) -> bool:
    """Whether a class is an equinox module, by its bases."""
    bases = [str(base) for base in module_class.bases]
    return "eqx.Module" in bases or any(_is_module(base) for base in module_class.mro() if base is not module_class)


def _constructor(module_class: griffe.Class) -> griffe.Function:
    """Returns `__init__` as a dataclass has it: the fields of the bases, then its own."""
    fields: dict[str, griffe.Parameter] = {}
    for owner in [*reversed(module_class.mro()), module_class]:
        for name, member in owner.members.items():
            if member.is_alias or not member.is_attribute or "property" in member.labels or member.annotation is None:
                continue
            if str(member.annotation).startswith(("AbstractVar", "eqx.AbstractVar", "ClassVar")):
                continue
            default, is_argument = _default(member.value)
            if is_argument:
                fields[name] = griffe.Parameter(
                    name,
                    annotation=member.annotation,
                    kind=griffe.ParameterKind.positional_or_keyword,
                    default=default,
                )
    made = griffe.Function("__init__", parameters=griffe.Parameters(griffe.Parameter("self"), *fields.values()))
    made.parent = module_class
    return made


def _default(value: Any) -> tuple[str | None, bool]:
    """Returns the default of a field, as written, and whether the constructor takes the field at all."""
    text = None if value is None else str(value)
    if text is None or not text.startswith(("eqx.field(", "dataclasses.field(")):
        return text, True
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in ast.parse(text, mode="eval").body.keywords}
    if keywords.get("init") == "False":
        return None, False
    factory = keywords.get("default_factory")
    return keywords.get("default") or (f"{factory}()" if factory else None), True
