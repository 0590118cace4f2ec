"""What can go wrong before or during a run, each with one line that says what to do."""


class EquigradError(Exception):
    """The root of every error this package raises on purpose; its text is one line for a person."""


class UsageError(EquigradError):
    """An argument, a data file or an output path that cannot be used (exit status 2)."""


class MissingError(EquigradError):
    """A framework or an arithmetic that is not here; the text says how to get it (exit status 3)."""


class DeviceError(UsageError):
    """A device that this process cannot use; the text lists those it can."""


class TrainingError(EquigradError):
    """Training left the finite numbers; the text says at which update and in which layer."""
