"""The laws of `extends`: lists add, maps merge, everything else is replaced, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bottle.core.inheritance import Said, in_effect, merged, origins, said
from bottle.core.place import Later

LEAVES = st.builds(Said, st.integers(0, 9), st.sampled_from(["b.a.x", "b.b.x", "b.c.x"]))
LISTS = st.lists(LEAVES, max_size=3).map(tuple)
NAMES = st.sampled_from(["one", "two", "three"])
TREES = st.fixed_dictionaries(
    {},
    optional={
        "runtime": LEAVES,
        "extends": LEAVES,
        "ssh": LISTS,
        "env": st.dictionaries(NAMES, LEAVES, max_size=3),
        "egress": st.fixed_dictionaries({}, optional={"allowlist": LISTS, "proxy": LEAVES}),
    },
)
"""Trees as bottles have them: at each place there is one kind of thing."""

Tree = Mapping[str, Any]


class TestMerging:
    """A bottle that extends another has what that one has, and what it says itself."""

    @given(TREES)
    def test_nothing_changes_nothing(self, tree: Tree) -> None:
        assert merged({}, tree) == tree == merged(tree, {})

    @given(TREES, TREES, TREES)
    def test_a_chain_can_be_merged_from_either_end(self, a: Tree, b: Tree, c: Tree) -> None:
        assert merged(merged(a, b), c) == merged(a, merged(b, c))

    @given(TREES, TREES)
    def test_lists_add_what_was_extended_first(self, base: Tree, own: Tree) -> None:
        both = merged(base, own)
        assert both.get("ssh", ()) == (*base.get("ssh", ()), *own.get("ssh", ()))
        listed = [tree.get("egress", {}).get("allowlist", ()) for tree in (base, own, both)]
        assert listed[2] == (*listed[0], *listed[1])

    @given(TREES, TREES)
    def test_what_is_no_list_and_no_map_is_replaced(self, base: Tree, own: Tree) -> None:
        both = merged(base, own)
        for name in ("runtime", "extends"):
            assert both.get(name) == own.get(name, base.get(name))
        assert both.get("env", {}) == {**base.get("env", {}), **own.get("env", {})}

    @given(TREES, TREES)
    def test_every_leaf_is_one_of_theirs_and_keeps_its_origin(self, base: Tree, own: Tree) -> None:
        both = dict(origins(merged(base, own)))
        assert both.keys() >= dict(origins(own)).keys() - {
            name for name, _ in origins(own) if "[" in name
        }
        theirs = {path for tree in (base, own) for _, path in origins(tree)}
        assert set(both.values()) <= theirs

    @given(TREES, TREES)
    def test_neither_is_changed(self, base: Tree, own: Tree) -> None:
        before = (repr(base), repr(own))
        merged(base, own)
        assert (repr(base), repr(own)) == before


PLAIN = st.fixed_dictionaries(
    {},
    optional={
        "runtime": st.just("runc"),
        "env": st.dictionaries(st.text("AB_", min_size=1, max_size=70), st.just("x"), max_size=3),
        "egress": st.fixed_dictionaries({"allowlist": st.just(("a.b", "c.d"))}),
    },
)


class TestWhatIsInEffect:
    """What is asked for and not supported yet stops a start, unless it was replaced."""

    @given(PLAIN, st.data())
    def test_every_place_that_is_there(self, plain: dict[str, Any], data: st.DataObject) -> None:
        paths = [path for _, path in origins(said(plain, "bottles.b"))]
        if not paths:
            return
        path = data.draw(st.sampled_from(paths))
        inner = data.draw(st.sampled_from(["", ".for", ".x.y"]))
        there = Later(path=path + inner, reason="r")
        elsewhere = Later(path=f"{path}_", reason="r")
        assert in_effect({"bottles.b": [there, elsewhere]}, paths) == (there,)
        around = Later(path="bottles.b", reason="r")
        assert in_effect({"bottles.b": [around]}, [path]) == (around,)
