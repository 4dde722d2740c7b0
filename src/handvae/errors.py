"""The one exception that means "the user can mend this"."""

from pathlib import Path


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
