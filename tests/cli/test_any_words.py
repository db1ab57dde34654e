"""Whatever is written on the command line: a plan that can be explained, or faults in words; never a traceback."""

from hypothesis import example, given
from hypothesis import strategies as st

from netfront.cli.app import root
from netfront.cli.argv import split_flags
from netfront.cli.explain import explain_plan, explain_request
from netfront.cli.flags import ServeFlags
from netfront.cli.planning import plan_serving
from netfront.cli.tree import flags_of
from netfront.errors import UsageError

FLAGS = flags_of(root().commands["proxy"])
SPELLINGS = sorted({spelling for flag in FLAGS for spelling in (*flag.on, *flag.off)} - {"-h", "--help"})
GRAMMAR = (
    "3000 3000-3003 demo: unix:/x localhost :8000 [::1]:1 https://h.test/v2 http:// tcp://a:1 /api=:1 /api= = , + ++ "
    "+weight=3 +backup +name= +sni=x +host=keep +proxy=v2 +ca= a.test *.b.test /a/{x}/** /a$ : ; * env:X @f 5s 5 -1 "
    "none 1k 10M 1% 50/s X:y -X - -- -l=:80 /: 0 99999999999 ::1 10.0.0.0/8 json combined %2F %zz \x00 \n \xe9 \udcff"
)
PIECES = GRAMMAR.split(" ")
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=4).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=3).map(" ".join),
    st.text(max_size=12),
)
WORDS = st.lists(st.one_of(st.sampled_from(SPELLINGS), TEXTS), max_size=8)


@given(WORDS)
@example(["3000", "-H", "no field"])
@example(["3000", "--header", "/: -"])
@example(["demo:", "--explain", "-H", "X: \udcff"])
def test_any_line_is_planned_or_refused_in_words(words):
    def read(path):
        raise FileNotFoundError(2, "No such file or directory", path)

    parsed = split_flags(FLAGS, words, read, lambda opt: None)
    known = {flag.name for flag in FLAGS}
    given_values = {name: value for name, value in parsed.values.items() if name in known}
    given_values.pop("help", None)
    given_values.pop("short_help", None)
    try:
        plan = plan_serving("proxy", ServeFlags(**given_values | {"targets": parsed.words}), parsed.faults)
    except UsageError as error:
        said = str(error)
    else:
        said = explain_plan(plan)
    assert said


PLANS = [
    plan_serving("proxy", ServeFlags(targets=targets))
    for targets in (["3000"], ["/api=:1/", "a.test=:2", "GET /x/{y}=:3"], ["https://h.test/v2"])
]
REQUESTS = st.tuples(
    st.sampled_from(["GET /", "POST ", "OPTIONS http://", "GET https://a.test/", "CONNECT "]), TEXTS
)


@given(st.sampled_from(PLANS), REQUESTS.map("".join))
@example(PLANS[0], "GET /\udcff")
def test_any_request_is_explained_or_refused_in_words(plan, request_text):
    try:
        said = explain_request(plan, request_text)
    except UsageError as error:
        said = str(error)
    assert said
