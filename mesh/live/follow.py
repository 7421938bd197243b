"""Keeps the live settings of a service as Consul's KV has them."""

from prometheus_client import Counter

from mesh.live.settings import Live, LiveSettings, LiveSettingsError
from mesh.registry import Registry
from mesh.telemetry import logger

PREFIX = "mesh/live/"

log = logger(__name__)
_REFUSED = Counter("mesh_live_refused", "Documents of live settings that were not applied.", ["service"])


def key(service: str) -> str:
    """Where the document of `service` stands in KV."""
    return f"{PREFIX}{service}"


async def follow(live: Live, registry: Registry, service: str) -> None:
    """Puts in force whatever the document says, for ever; without one, the defaults.

    A document that is wrong anywhere is refused as a whole, and what was in force stays. So does it while Consul is
    away.
    """
    refused = _REFUSED.labels(service)
    async for document in registry.watch_key(key(service)):
        try:
            settings = LiveSettings() if document is None else LiveSettings.from_json(document)
        except LiveSettingsError as error:
            refused.inc()
            log.error("live settings refused, the old ones stay", of=service, problems=error.lines)
            continue
        if settings == live.current:
            continue
        try:
            live.replace(settings)
            log.info("live settings taken", of=service, settings=settings.model_dump(mode="json", exclude_unset=True))
        except Exception:  # whoever was told failed; the next change shall reach everybody all the same
            log.exception("live settings taken, and not all could be told", of=service)
