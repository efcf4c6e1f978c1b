"""The one exception that means "the request is wrong", and how its message reads."""

from collections.abc import Iterable


class BadRequestError(ValueError):
    """A value the caller gave cannot be used; the message names it and says what is valid, on one line."""


class MissingSettingError(BadRequestError):
    """Settings without a default that nobody gave."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        super().__init__(f"missing setting: {', '.join(self.names)}")


def unknown(what: str, value: object, valid: Iterable[str]) -> BadRequestError:
    """Return the error for a name that is not one of `valid`."""
    return BadRequestError(f"unknown {what} {str(value)!r}; valid: {', '.join(valid)}")
