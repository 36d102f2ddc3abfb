"""What can go wrong at the user's door, a class per reason.

A message says what, where, what was got and what to do next, in one or two lines. The command line prints it
and exits 1; the page shows it. Anything else that is raised is a bug and keeps its traceback.
"""


class PoseStudioError(Exception):
    """The request could not be met; the message is for the user."""


class InputError(PoseStudioError):
    """A file, image, annotation or number that was given cannot be used."""


class ConfigError(PoseStudioError):
    """One or more settings are unknown or out of range; every problem is one line."""


class NotFound(PoseStudioError):
    """A run, person, image or project that was named does not exist."""


class StoreError(PoseStudioError):
    """The label store cannot be opened, read or written."""


class StoreBusy(StoreError):
    """Another process holds the label store and does not answer."""


class WeightsError(PoseStudioError):
    """A checkpoint or weights file cannot be read or does not fit the model."""


class TrainingError(PoseStudioError):
    """A run cannot start or had to end, such as no labels or a loss that is not finite."""
