"""Configuration: frozen dataclasses <- TOML recipe <- `--set a.b=value`, later ones winning.

An unknown key is an error that names the known ones. Values are checked against the field's type.
"""

import dataclasses
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, Union

from expclip import storage
from expclip.errors import BadRequestError, MissingSettingError, unknown

T = TypeVar("T")


def load(
    kind: type[T], recipe: str | None = None, table: str | None = None, sets: Iterable[str] = (), **given: Any
) -> T:
    """Return a `kind` from its defaults, the table `[table]` of a recipe file, `a.b=value` strings and keywords.

    Raises BadRequestError for a missing recipe, an unknown key, a missing required one or a value of another type.
    """
    values: dict[str, Any] = {}
    if recipe is not None:
        values = _merged(values, _read(recipe, table))
    for entry in sets:
        key, found, text = entry.partition("=")
        if not found or not key:
            raise BadRequestError(f"--set {entry!r} is not of the form a.b=value")
        values = _merged(values, _nested(key.split("."), _value(text)))
    return build(kind, _merged(values, given))


def build(kind: type[T], values: Mapping[str, Any], at: str = "") -> T:
    """Return a `kind` (a dataclass) from a mapping; nested mappings become nested dataclasses."""
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise unknown("setting", at + key, (at + name for name in fields))
    missing = [at + n for n, f in fields.items() if n not in values and _required(f)]
    if missing:
        raise MissingSettingError(missing)
    whole = {key: _completed(fields[key], value) for key, value in values.items()}
    return kind(**{key: _convert(hints[key], value, at + key) for key, value in whole.items()})


def _completed(field: "dataclasses.Field[Any]", value: Any) -> Any:
    """Return a table with what it leaves out, where the field's default is a table of its own making."""
    if field.default_factory is dataclasses.MISSING or not isinstance(value, Mapping):
        return value
    default = field.default_factory()
    return _merged(as_dict(default), value) if dataclasses.is_dataclass(default) else value


def changed(settings: T, changes: Mapping[str, Any]) -> T:
    """Return a dataclass with some settings changed, each named as `a.b`; raises BadRequestError for an unknown one."""
    values = as_dict(settings)
    for key, value in changes.items():
        values = _merged(values, _nested(key.split("."), value))
    return build(type(settings), values)


def as_dict(config: Any) -> dict[str, Any]:
    """Return a dataclass as plain nested dictionaries, fit for JSON."""
    return dataclasses.asdict(config)


def part(kind: type[T], config: Any) -> T:
    """Return the settings of a `kind` that a config of a subclass of it holds."""
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    return kind(**{field.name: getattr(config, field.name) for field in fields})


def _required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _read(recipe: str, table: str | None) -> dict[str, Any]:
    if not storage.exists(recipe):
        raise BadRequestError(f"no such recipe: {recipe}")
    try:
        content = tomllib.loads(storage.read_text(recipe))
    except tomllib.TOMLDecodeError as error:
        raise BadRequestError(f"recipe {recipe} is not valid TOML: {error}") from None
    return dict(content.get(table, {})) if table else content


def _value(text: str) -> Any:
    """Read the right side of `--set` as a TOML value; what is none is a plain string."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def _nested(keys: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return typing.cast(dict[str, Any], value)


def _merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(low)
    for key, value in high.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = _merged(out[key], value) if both else value
    return out


def _convert(hint: Any, value: Any, at: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or (dataclasses.is_dataclass(hint) and isinstance(value, typing.cast(type, hint))):
        return value
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise BadRequestError(f"setting {at} is a table, not {value!r}")
        return build(typing.cast(type, hint), value, at + ".")
    if origin in (Union, types.UnionType):
        return _convert_union(args, value, at)
    if origin is typing.Literal:
        if value not in args:
            raise unknown(f"value of setting {at}:", value, map(str, args))
        return value
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(args[0], item, at) for item in items)
    if origin is dict or origin is Mapping:
        return {key: _convert(args[1], item, f"{at}.{key}") for key, item in dict(value).items()}
    return _scalar(hint, value, at)


def _convert_union(args: tuple[Any, ...], value: Any, at: str) -> Any:
    if value is None and type(None) in args:
        return None
    for arg in (a for a in args if a is not type(None)):
        try:
            return _convert(arg, value, at)
        except BadRequestError:
            continue
    raise BadRequestError(f"setting {at} cannot be {value!r}")


def _scalar(hint: Any, value: Any, at: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, hint) and not (hint in (int, float) and isinstance(value, bool)):
        return value
    raise BadRequestError(f"setting {at} must be {hint.__name__}, not {value!r}")
