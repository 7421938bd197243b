"""What one subscriber wants of one type of resource, has been sent, and has said to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh.control.packing import CLUSTER, LISTENER, Resource

WHOLE = {LISTENER, CLUSTER}
"""Of these a response holds all that is subscribed to, and what is missing from it is gone; of others what changed."""


@dataclass(frozen=True)
class Refusal:
    version: str
    problem: str


@dataclass
class Subscription:
    type_url: str
    names: frozenset[str] = frozenset()
    wildcard: bool = False
    asked: bool = False
    """Whether there was a request."""
    owed: bool = False
    """Whether names have come that no response has answered: of WHOLE types it also says which are unknown."""
    sent: dict[str, Resource] = field(default_factory=dict)
    """As in the last response that held it, answered or not."""
    acknowledged: dict[str, Resource] = field(default_factory=dict)
    refused: dict[str, Refusal] = field(default_factory=dict)
    """The last refusal of each; it is of no account once there is another version."""
    unanswered: dict[str, dict[str, Resource]] = field(default_factory=dict)
    """What each response held, by its nonce, oldest first."""
    settled: str = ""
    """The version of all resources of the type at which it was found to lack nothing."""
    responses: int = 0
    nonce: str = ""
    """Of the last response."""

    def wants(self, requested: frozenset[str]) -> None:
        """Takes the names of a request. No name at all means everything, as long as none was ever given."""
        before = self.names, self.wildcard
        self.wildcard = (
            "*" in requested
            or (self.type_url in WHOLE and not requested and not self.asked)
            or (self.wildcard and not requested)
        )
        self.names = requested - {"*"}
        self.owed = self.owed or not self.asked or not self.names <= before[0]
        self.asked = True
        if before != (self.names, self.wildcard):
            self.settled = ""
        if not self.wildcard:  # if it is wanted again it must be sent again
            for known in (self.sent, self.acknowledged, self.refused):
                for name in known.keys() - self.names:
                    del known[name]

    def wanted(self, available: Mapping[str, Resource]) -> dict[str, Resource]:
        """What it shall have: the current resources, and of what it refused the last that it took."""
        names = self.names.union(available) if self.wildcard else self.names
        found = {}
        for name in names & available.keys():
            refusal = self.refused.get(name)
            is_refused = refusal is not None and refusal.version == available[name].version
            resource = self.acknowledged.get(name) if is_refused else available[name]
            if resource is not None:
                found[name] = resource
        return found

    def lacking(self, available: Mapping[str, Resource], *, drop: bool) -> list[Resource] | None:
        """What a response must hold; None: there is no need for one.

        Without `drop` what is gone is kept for now, since something may still lead there.
        """
        wanted = self.wanted(available)
        gone = self.sent.keys() - wanted.keys()
        if self.type_url in WHOLE and not drop and self.responses:
            wanted |= {name: self.sent[name] for name in gone if name not in available}
        changed = [each for name, each in wanted.items() if self.is_news(each)]
        if self.type_url not in WHOLE:
            return changed or None
        needed = changed or self.owed or (drop and gone)
        return list(wanted.values()) if needed else None

    def is_news(self, resource: Resource) -> bool:
        sent = self.sent.get(resource.name)
        return sent is None or sent.version != resource.version

    def responded(self, held: list[Resource]) -> None:
        """A response with these goes out; `nonce` is then its."""
        self.responses += 1
        self.owed = False
        self.nonce = str(self.responses)
        response = {each.name: each for each in held}
        self.unanswered[self.nonce] = response
        self.sent = response.copy() if self.type_url in WHOLE else self.sent | response

    def taken(self, nonce: str) -> None:
        """The response was acknowledged; so were those before it, which a busy client need not answer."""
        for response in self._answered(nonce):
            self._acknowledge(response)

    def refuse(self, nonce: str, problem: str) -> list[str]:
        """The response was refused. Returns which resources are to blame: those that it names, else all its news.

        The others shall not wait for them: whether they were taken is not known, so they will be sent again.
        """
        self.settled = ""
        *before, response = self._answered(nonce)
        for earlier in before:
            self._acknowledge(earlier)
        news = {name: each for name, each in response.items() if self.acknowledged.get(name) != each}
        named = {name for name in news if re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w/-])", problem)}
        blamed = named or set(news)
        for name, each in news.items():
            self.sent.pop(name, None)
            if name in blamed:
                self.refused[name] = Refusal(each.version, problem)
                if name in self.acknowledged:
                    self.sent[name] = self.acknowledged[name]
        return sorted(blamed)

    def _answered(self, nonce: str) -> list[dict[str, Resource]]:
        """The responses up to this one, which are unanswered no more."""
        answered = []
        for each in list(self.unanswered):
            answered.append(self.unanswered.pop(each))
            if each == nonce:
                break
        return answered

    def _acknowledge(self, response: dict[str, Resource]) -> None:
        if self.type_url in WHOLE:
            self.acknowledged = response.copy()
        else:
            self.acknowledged |= response if self.wildcard else {n: r for n, r in response.items() if n in self.names}
        for name, each in response.items():
            if name in self.refused and self.refused[name].version == each.version:
                del self.refused[name]
