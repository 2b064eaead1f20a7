"""What a projection takes away, and what it never does."""

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import FieldUnknown
from streamer.model import encode_value
from streamer.privacy import FULL, Policy
from streamer.projection import ALWAYS, FIELDS, OF_A_REMOVAL, Opened, Projection, Tree
from streamer.userspaces import UserSpaces

PATHS: list[str] = []
NONE = Policy("none")


def _paths(tree: Tree, prefix: str = "") -> None:
    for name, below in tree.items():
        if below is None:
            PATHS.append(prefix + name)
        else:
            PATHS.append(f"{prefix}{name}.*")
            _paths(below, f"{prefix}{name}.")


_paths(FIELDS)

LISTS = ("categories", "templates", "redirects", "license", "protection")


def invented(tree: Tree, random: Random) -> dict[str, Any]:
    """Anything that has the article's shape: each field there or not, of any value, objects in lists."""
    article: dict[str, Any] = {}
    for name, below in tree.items():
        if random.random() < 0.3:
            continue
        if below is None:
            article[name] = random.choice((None, True, False, 0, -(2**40), 1.5, "", "é\u2028\x85\n", "x" * 9))
        elif below == {}:
            article[name] = {"revertrisk": 0.25, "other": {"deep": [1, 2]}}
        elif name in LISTS:
            article[name] = [invented(below, random) for _ in range(random.randrange(3))]
        else:
            article[name] = invented(below, random)
    return article


articles = st.integers(0).map(lambda seed: invented(FIELDS, Random(seed)))


def selected(value: Any, tree: dict[str, Any] | None) -> Any:
    """The naive reading: keep what is named."""
    if tree is None:
        return value
    if isinstance(value, list):
        return [selected(element, tree) for element in value]
    if isinstance(value, dict):
        return {name: selected(part, tree[name]) for name, part in value.items() if name in tree}
    return value


def naive_tree(fields: list[str]) -> dict[str, Any]:
    whole = {tuple(field.removesuffix(".*").split(".")) for field in fields}

    def build(known: Tree, always: Tree | None, path: tuple[str, ...]) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for name, below in known.items():
            at = (*path, name)
            kept = always.get(name, {}) if always is not None else {}
            if any(at[: len(w)] == w for w in whole) or (
                always is not None and name in always and kept is None
            ):
                tree[name] = None
            elif below:
                inner = build(below, kept if always is not None and name in always else {}, at)
                if inner:
                    tree[name] = inner
        return tree

    return build(FIELDS, ALWAYS, ())


@given(articles, st.lists(st.sampled_from(PATHS), min_size=1, max_size=5))
def test_fields_select_what_they_name(article: dict[str, Any], fields: list[str]) -> None:
    """The selection equals the naive one; what makes a record usable stays whatever was chosen."""
    out = msgspec.json.decode(Projection(fields).apply(msgspec.json.encode(article)))
    assert out == msgspec.json.decode(msgspec.json.encode(selected(article, naive_tree(fields))))
    for name in ("identifier", "name", "event", "license", "attribution"):
        assert (name in out) == (name in article)


@given(articles)
def test_nothing_chosen_changes_nothing(article: dict[str, Any]) -> None:
    """Taken apart and put together without a choice, the bytes are the same."""
    value = encode_value(article)
    assert Projection().is_identity(article.get("article_body", {}))
    assert Projection().apply(value) == value


@given(articles, st.sets(st.sampled_from(["wikitext", "text", "html"])))
def test_content_keeps_parts_of_the_body(article: dict[str, Any], content: set[str]) -> None:
    """`article_body` holds what was asked for and nothing else; a projection that drops nothing says so."""
    projection = Projection(content=content)
    out = msgspec.json.decode(projection.apply(msgspec.json.encode(article)))
    body = article.get("article_body", {})
    assert out.get("article_body", {}) == {k: v for k, v in body.items() if k in content}
    assert projection.is_identity(body) == (out.get("article_body", {}) == body)


@given(articles, st.sets(st.sampled_from(["categories", "templates", "redirects"])))
def test_lists_are_those_that_are_had(article: dict[str, Any], lists: set[str]) -> None:
    """Of the page's lists those stay that were asked for, and nothing else is touched."""
    projection = Projection(lists=lists)
    out = msgspec.json.decode(projection.apply(msgspec.json.encode(article)))
    gone = {"categories", "templates", "redirects"} - lists
    assert out == {name: part for name, part in article.items() if name not in gone}
    assert projection.is_identity((), article.keys()) == (out == article)
    assert projection == Projection(lists=[*lists])
    assert projection.digest == Projection(lists=[*lists]).digest
    assert (projection == Projection()) == (projection.digest == Projection().digest) == (not gone)


@given(articles, st.sets(st.sampled_from(["comment", "editor"]), min_size=1))
def test_hidden_parts_are_gone(article: dict[str, Any], hides: set[Any]) -> None:
    """A cut-off's comment and editor are nowhere in the version, and `visibility` says so."""
    out = msgspec.json.decode(Projection().apply(msgspec.json.encode(article), hides=frozenset(hides)))
    assert not hides & out.get("version", {}).keys()
    if "visibility" in article:
        assert all(out["visibility"][part] is False for part in hides)


@given(articles, st.lists(st.sampled_from(PATHS), max_size=5))
def test_without_editor(article: dict[str, Any], fields: list[str]) -> None:
    """Under `none` no editor and no link to the revision leave, whatever the fields say."""
    out = msgspec.json.decode(Projection(fields, policy=NONE).apply(msgspec.json.encode(article)))
    assert "editor" not in out.get("version", {})
    assert "revision_url" not in out.get("attribution", {})


@given(articles)
def test_a_removal_has_no_text(article: dict[str, Any]) -> None:
    """What a partner gets when a page leaves its scope names the page and says no more."""
    out = msgspec.json.decode(Projection().apply(msgspec.json.encode(article), removed=True))
    assert out.keys() <= OF_A_REMOVAL
    if "event" in article:
        assert out["event"]["type"] == "delete"


policies = st.sampled_from(
    [FULL, NONE, *(Policy("pseudonym", name, b"a secret", UserSpaces()) for name in ("one", "other"))]
)
projections = st.builds(
    lambda fields, content, lists, policy: Projection(fields, content=content, lists=lists, policy=policy),
    st.lists(st.sampled_from(PATHS), max_size=4),
    st.none() | st.sets(st.sampled_from(["wikitext", "text", "html"])),
    st.none() | st.sets(st.sampled_from(["categories", "templates"])),
    policies,
)
forms = st.sampled_from([{}, {"removed": True}, {"beside": True}])
from_html = st.none() | st.dictionaries(st.sampled_from(["text", "html", "abstract"]), st.text(max_size=5))


@given(
    articles,
    from_html,
    st.sets(st.sampled_from(["comment", "editor"])),
    st.lists(st.tuples(projections, forms), min_size=2, max_size=12),
)
def test_what_partners_share_is_what_each_would_get_alone(
    article: dict[str, Any],
    made_of_html: dict[str, str] | None,
    hides: set[Any],
    asked: list[tuple[Projection, dict[str, bool]]],
) -> None:
    """Whoever was there before, and whatever was made for them: of other policies, forms and fields."""
    if made_of_html is not None:
        article = {**article, "from_html": made_of_html}
    value, hidden = encode_value(article), frozenset(hides)
    opened = Opened(value, hidden)
    for projection, form in asked:
        alone = projection.apply(value, hides=hidden, **form)
        assert projection.apply_to(opened, **form) == alone
        assert projection.apply_to(opened, **form) == alone


def test_a_path_of_any_depth_is_taken() -> None:
    """Names below a dictionary's may be anything; a client's request must not exhaust the stack."""
    deep = "version.scores" + ".x" * 50_000
    value = encode_value({"version": {"scores": {"x": {"x": 1}, "y": 2}}})
    assert msgspec.json.decode(Projection([deep]).apply(value)) == {"version": {"scores": {"x": {"x": 1}}}}


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("nonsense", "field with name 'nonsense' not found"),
        ("version.nonsense", "field with name 'version.nonsense' not found"),
        ("name.*", "field with name 'name.*' not found"),
        ("*", "field with name '*' not found"),
        ("", "field with name '' not found"),
        ("version", "use wildcard 'version.*' to select all fields from the object"),
        ("version.editor", "use wildcard 'version.editor.*' to select all fields from the object"),
    ],
)
def test_unknown_fields_are_refused(field: str, message: str) -> None:
    """In the words that clients of Enterprise's API know."""
    with pytest.raises(FieldUnknown) as caught:
        Projection([field])
    assert str(caught.value) == message
    assert caught.value.field == field


@pytest.mark.parametrize(
    "field", ["version.sizes.*", "image.contentUrl", "image.*", "version.scores.revertrisk.x"]
)
def test_fields_of_enterprise_are_taken(field: str) -> None:
    """Its Avro names, and what we don't have (yet), may be asked for."""
    Projection([field])


def test_line_separators_stay_escaped() -> None:
    """A value that no line splitter cuts is not cut after a projection either."""
    value = b'{"name":"a\\u2028b","event":{"type":"update"},"url":"\\u0085"}'
    assert b"\\u2028" in Projection(["name"]).apply(value)
    assert Projection().apply(value) == value


def test_null_is_as_good_as_absent() -> None:
    """Objects that are null, as other writers of JSON put it, stay as they are, whatever takes parts."""
    names = ("article_body", "version", "attribution", "visibility")
    article = dict.fromkeys(names) | {"event": {"type": "update"}}
    projection = Projection(content=("text",), policy=NONE)
    made = msgspec.json.decode(projection.apply(encode_value(article), hides=frozenset({"comment"})))
    assert made == article


hostile = (
    st.text(max_size=30)
    | st.text("ab_.*-\x00", max_size=30)
    | st.builds(
        str.__add__,
        st.sampled_from(PATHS),
        st.sampled_from(("", ".", ".*", "*", ".*.*", "..*", ".x", ".__proto__", " ", "\n", ".x" * 5_000)),
    )
    | st.builds(str.__add__, st.sampled_from((".", "*", " ", "$", "__class__.")), st.sampled_from(PATHS))
)


@given(st.lists(hostile, max_size=5), articles)
def test_whatever_is_asked_for(fields: list[str], article: dict[str, Any]) -> None:
    """A name is refused or selects a part of what is there; nothing else comes of it."""
    try:
        projection = Projection(fields)
    except FieldUnknown:
        return
    made = msgspec.json.decode(projection.apply(encode_value(article)))
    assert_part_of(made, article)


def assert_part_of(part: Any, whole: Any) -> None:
    if isinstance(part, dict):
        for name, value in part.items():
            assert_part_of(value, whole[name])
    elif isinstance(part, list):
        for value, of in zip(part, whole, strict=True):
            assert_part_of(value, of)
    else:
        assert part == whole
