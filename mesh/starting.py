"""What keeps a process from starting."""


class StartError(Exception):
    """Something outside of the program has to be put right first; the message says what, for a person.

    `mesh.run` ends the process with that one line. A product derives its own from this.
    """
