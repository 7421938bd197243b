"""Where users, sessions and signing keys are kept: PostgreSQL, schema `auth`."""
