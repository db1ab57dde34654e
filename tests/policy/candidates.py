"""Stand-ins for backends, as pickers see them."""

from collections import Counter

__all__ = ["Fake", "fakes", "pick_many"]


class Fake:
    """A backend of which a picker sees what a test sets."""

    def __init__(self, name, weight=1.0, in_flight=0, latency=0.0):
        self.name = name if isinstance(name, bytes) else f"10.0.0.{name}:80".encode()
        self.weight = weight
        self.in_flight = in_flight
        self.latency = latency

    def __repr__(self):
        return f"<{self.name.decode()} weight={self.weight} in_flight={self.in_flight}>"


def fakes(*weights):
    """Make one of each weight."""
    return [Fake(place, weight) for place, weight in enumerate(weights)]


def pick_many(picker, count, key=None, tried=(), now=0.0):
    """Pick so often, each done before the next, and count who was picked."""
    return Counter(picker.pick(key, tried, now) for _ in range(count))
