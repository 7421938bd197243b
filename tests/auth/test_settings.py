"""What the environment may say."""

from datetime import timedelta
from pathlib import Path

import pytest

from mesh.settings import SettingsError
from services.auth.settings import Settings

SOUND = {"DATABASE_URL": "postgresql://auth:secret@127.0.0.1:5432/retail"}


def test_what_holds_when_nothing_is_said() -> None:
    settings = Settings.from_environment(SOUND)
    assert (settings.issuer, settings.audience) == ("https://retail-mesh.local", "retail-mesh")
    assert settings.access_token_life == timedelta(minutes=15)
    assert settings.session_life == settings.key_rotation == timedelta(days=30)
    assert settings.key_grace == timedelta(hours=1)
    assert (settings.bcrypt_cost, settings.hash_threads, settings.admin_password_file) == (12, 2, None)


def test_everything_can_be_said() -> None:
    settings = Settings.from_environment(
        SOUND
        | {
            "AUTH_ISSUER": "https://issuer.example",
            "AUTH_AUDIENCE": "shop",
            "AUTH_ACCESS_TOKEN_SECONDS": "60",
            "AUTH_SESSION_SECONDS": "3600",
            "AUTH_KEY_ROTATION_SECONDS": "7200",
            "AUTH_KEY_GRACE_SECONDS": "5",
            "AUTH_BCRYPT_COST": "13",
            "AUTH_HASH_THREADS": "4",
            "ADMIN_PASSWORD_FILE": "/run/secrets/admin",
        }
    )
    assert (settings.issuer, settings.audience) == ("https://issuer.example", "shop")
    lives = (settings.access_token_life, settings.session_life, settings.key_rotation, settings.key_grace)
    assert [life.total_seconds() for life in lives] == [60, 3600, 7200, 5]
    assert (settings.bcrypt_cost, settings.hash_threads) == (13, 4)
    assert settings.admin_password_file == Path("/run/secrets/admin")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", ""),
        ("AUTH_ISSUER", ""),
        ("AUTH_ISSUER", "retail-mesh"),
        ("AUTH_ISSUER", "https://a b"),
        ("AUTH_ISSUER", "https://[::1"),
        ("AUTH_AUDIENCE", ""),
        ("AUTH_AUDIENCE", "two words"),
        ("AUTH_ACCESS_TOKEN_SECONDS", "0"),
        ("AUTH_ACCESS_TOKEN_SECONDS", "15m"),
        ("AUTH_ACCESS_TOKEN_SECONDS", "86401"),
        ("AUTH_SESSION_SECONDS", "-1"),
        ("AUTH_KEY_ROTATION_SECONDS", ""),
        ("AUTH_KEY_GRACE_SECONDS", "1.5"),
        ("AUTH_BCRYPT_COST", "3"),
        ("AUTH_BCRYPT_COST", "21"),
        ("AUTH_HASH_THREADS", "0"),
    ],
)
def test_what_is_malformed_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as refused:
        Settings.from_environment(SOUND | {name: value})
    assert "\n" not in str(refused.value)


def test_the_database_password_is_not_shown() -> None:
    assert "secret" not in repr(Settings.from_environment(SOUND))
