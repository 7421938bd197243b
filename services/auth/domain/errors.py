"""Why auth refuses."""

from uuid import UUID


class CredentialsInvalidError(Exception):
    """No such user, or another password."""


class UsernameTakenError(Exception):
    """Somebody has this name."""

    def __init__(self, username: str) -> None:
        super().__init__(f"the name {username} is taken")
        self.username = username


class RefreshTokenInvalidError(Exception):
    """Unknown, or of a session that is over."""


class RefreshTokenReusedError(RefreshTokenInvalidError):
    """Used before: one of two holders has stolen it, so the session has been ended for both."""

    def __init__(self, session_id: UUID, username: str) -> None:
        super().__init__(f"a refresh token of session {session_id} came twice")
        self.session_id = session_id
        self.username = username
