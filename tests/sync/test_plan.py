"""The comparison of what an upstream has with what is here. Pure."""

from hypothesis import given
from hypothesis import strategies as st

from sync import plan
from sync.plan import MASS_REMOVAL, Plan

NUMBERS = st.integers(0, 40).map(lambda n: f"1.0.{n}")
LISTINGS = st.dictionaries(NUMBERS, st.sampled_from(["one digest", "another", "a third"]), max_size=40)


@st.composite
def ours_and_gone(draw) -> tuple[dict[str, str], frozenset[str]]:
    """Our versions, and those among them that are tombstones."""
    ours = draw(LISTINGS)
    gone = draw(st.frozensets(st.sampled_from(sorted(ours)))) if ours else frozenset()
    return ours, gone


def carried_out(
    todo: Plan, theirs: dict[str, str], ours: dict[str, str], gone: frozenset[str]
) -> tuple[dict[str, str], frozenset[str]]:
    taken = {number: theirs[number] for number in (*todo.added, *todo.edited)}
    return {**ours, **taken}, (gone - taken.keys()) | frozenset(todo.removed)


@given(LISTINGS, ours_and_gone())
def test_carrying_a_plan_out_makes_what_is_here_like_what_is_there(theirs, here):
    ours, gone = here
    todo = plan.compare(theirs, ours, gone)
    after, tombs = carried_out(todo, theirs, ours, gone)
    standing = {number: digest for number, digest in after.items() if number not in tombs}
    doubted = {number: ours[number] for number in todo.doubted}
    assert standing == theirs | doubted
    assert ours.keys() <= after.keys(), "a number that was once taken stays taken"


@given(LISTINGS, ours_and_gone())
def test_a_plan_that_was_carried_out_leaves_nothing_but_doubts(theirs, here):
    todo = plan.compare(theirs, *here)
    again = plan.compare(theirs, *carried_out(todo, theirs, *here))
    assert again.added == again.edited == ()
    assert {*again.removed, *again.doubted} == set(todo.doubted)


@given(LISTINGS, ours_and_gone())
def test_no_version_is_in_two_parts_of_a_plan(theirs, here):
    todo = plan.compare(theirs, *here)
    everything = [*todo.added, *todo.edited, *todo.removed, *todo.doubted]
    assert len(everything) == len(set(everything))


def test_a_few_versions_that_are_gone_become_tombstones_when_that_is_confirmed():
    ours = {f"1.0.{n}": "digest" for n in range(20)}
    theirs = {f"1.0.{n}": "digest" for n in range(15)}
    first = plan.compare(theirs, ours)
    assert (first.removed, len(first.doubted), first.is_mass) == ((), 5, False)
    later = plan.compare(theirs, ours, confirmed=frozenset(first.doubted))
    assert (later.removed, later.doubted) == (first.doubted, ())


def test_an_upstream_that_lost_most_of_its_versions_is_doubted():
    ours = {f"1.0.{n}": "digest" for n in range(MASS_REMOVAL * 2)}
    theirs = {f"1.0.{n}": "digest" for n in range(3)}
    todo = plan.compare(theirs, ours)
    assert (todo.removed, len(todo.doubted), todo.is_mass) == ((), MASS_REMOVAL * 2 - 3, True)


def test_an_upstream_that_suddenly_lists_nothing_is_doubted_however_few_there_were():
    assert plan.compare({}, {"1.0.0": "digest"}) == Plan((), (), (), doubted=("1.0.0",), is_mass=True)


def test_tombstones_do_not_count_as_lost_again():
    ours = {f"1.0.{n}": "digest" for n in range(20)}
    gone = frozenset(list(ours)[1:])
    assert plan.compare({"1.0.0": "digest"}, ours, gone) == Plan((), (), ())


def test_a_version_that_comes_back_is_taken_up_though_its_text_is_the_same():
    assert plan.compare({"1.0.0": "digest"}, {"1.0.0": "digest"}, frozenset({"1.0.0"})).edited == ("1.0.0",)


def test_a_plan_can_be_read():
    assert str(Plan(("1.0.0", "1.0.1"), ("0.9.0",), ())) == "2 to add, 1 to change, 0 to remove"
    assert str(Plan((), (), (), ("1.0.0",))).endswith(", 1 gone upstream and kept")


def test_npms_placeholder_for_what_it_took_away_asks_no_human():
    ours = {f"1.0.{n}": "digest" for n in range(MASS_REMOVAL * 2)}
    assert not plan.compare({"0.0.1-security": "digest"}, ours).is_mass
    assert plan.compare({"0.0.1": "digest"}, ours).is_mass
