"""What requests hold of what all share, whatever comes in whatever order: the books agree."""

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from netfront.policy.memory import Held, MemoryFull, NeverFits
from netfront.policy.shared import Shared

ADDRESSES = [b"192.0.2.1", b"192.0.2.2", b"2001:db8::1", b"2001:db8::2", b"127.0.0.1", b""]
SIZES = st.integers(0, 60)


class Books(RuleBasedStateMachine):
    """Requests, and parts of them, that hold and give back."""

    requests = Bundle("requests")

    def __init__(self):
        super().__init__()
        self.most = 100
        self.shared = Shared(self.most)
        self.holds = {}

    @rule(target=requests, address=st.sampled_from(ADDRESSES))
    def begin(self, address):
        held = Held(self.shared, address)
        self.holds[held] = (0, address)
        return held

    @rule(target=requests, whole=requests)
    def begin_part(self, whole):
        address = self.holds[whole][1]
        held = Held(self.shared, address, whole=whole)
        self.holds[held] = (0, address)
        return held

    @rule(held=requests, size=SIZES)
    def add(self, held, size):
        had, address = self.holds[held]
        try:
            held.add(size)
        except (MemoryFull, NeverFits):
            return
        self.holds[held] = (had + size, address)

    @rule(held=requests, size=SIZES)
    def free(self, held, size):
        had, address = self.holds[held]
        held.free(min(size, had))
        self.holds[held] = (had - min(size, had), address)

    @rule(held=requests, size=SIZES)
    def keep(self, held, size):
        had, address = self.holds[held]
        held.keep(size)
        self.holds[held] = (min(had, size), address)

    @rule(held=requests)
    def give_back(self, held):
        held.give_back()
        self.holds[held] = (0, self.holds[held][1])

    @rule(most=st.integers(1, 200))
    def change(self, most):
        self.most = most
        self.shared.change(most)

    @invariant()
    def what_is_left_is_what_nobody_holds(self):
        assert self.shared.left == self.most - sum(count for count, _ in self.holds.values())

    @invariant()
    def whoever_holds_nothing_is_forgotten(self):
        if not any(count for count, _ in self.holds.values()):
            assert self.shared._by_network == {}


TestBooks = Books.TestCase
