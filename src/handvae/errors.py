"""The exception that means "the user can mend this", and the warnings that a user should read."""

from pathlib import Path


class HandvaeWarning(UserWarning):
    """Something that a user should know; the command line prints it as one line."""


class DataWarning(HandvaeWarning):
    """Something of the user's data is not used."""


class ResultWarning(HandvaeWarning):
    """A result is not what a user would expect."""


class UserError(Exception):
    """Bad input: the command line prints it as one line and ends with exit code 2.

    Args:
        where: the file, folder or option that holds the fault.
        fault: what is wrong there, naming the field.
        remedy: what to do about it.
    """

    def __init__(self, where: str | Path, fault: str, remedy: str) -> None:
        self.where = str(where)
        self.fault = fault
        self.remedy = remedy
        super().__init__(f"{where}: {fault}; {remedy}")

    def __reduce__(self) -> tuple[type["UserError"], tuple[str, str, str]]:
        """Keep all three parts when a worker process raises the error."""
        return type(self), (self.where, self.fault, self.remedy)


class ArgumentError(UserError, TypeError, ValueError):
    """An argument of a public function is of another type, or out of its range; `where` is its name.

    Programs that catch Python's own `TypeError` or `ValueError` catch it too.
    """
