"""What an error says to the user of a command."""


def one_line(error: BaseException) -> str:
    """The message of an error; the operating system's without its number, the file first."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    return str(error)
