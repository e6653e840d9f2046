"""One tree of errors: where, what was found, what is allowed, what to do."""


class SpymasterError(Exception):
    """Something a user can act on. The command line prints it as one line and exits with 1."""


class ContractError(SpymasterError):
    """A row, column or setting breaks what is declared."""


class SourceError(SpymasterError):
    """A file or feed cannot be read as what it should be."""


class BookError(SpymasterError):
    """An order book cannot be built from what came."""


class SessionError(SpymasterError):
    """A trading session, window or calendar does not fit."""


class LakeError(SpymasterError):
    """A table or folder cannot be read or written."""


class BusError(SpymasterError):
    """A topic cannot be read or written."""


class ModelError(SpymasterError):
    """A model cannot be trained, found or promoted."""


class ScoringError(SpymasterError):
    """A vector cannot be scored."""
