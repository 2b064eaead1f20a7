"""`fields`: what was asked for, with the values that it has; and Enterprise's words for what is no field."""

from typing import Any

from tests.conformance.endpoint.lines import vector
from tests.conformance.endpoint.reading import EVER, covering, read, streaming, upto
from tests.conformance.endpoint.wire import Endpoint

SOME = 40
ALWAYS = {"identifier", "name", "namespace", "is_part_of", "event", "license", "attribution"}
"""Without these an article could not be placed, or lawfully used."""


def got(article: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        if not isinstance(article, dict) or name not in article:
            return None
        article = article[name]
    return article


async def test_fields_and_wildcards_choose(endpoint: Endpoint) -> None:
    """A field, a field of an object, an object's all: equal to the whole article's, and nothing beside."""
    fields = "url,version.identifier,visibility.*,version.size.*"
    items = await read(endpoint, SOME, query={"since": EVER, "fields": fields})
    async with streaming(endpoint, query={"since": EVER}) as stream:
        whole = await covering(stream, items)
    for item in items:
        article, wanted = item.object, whole[item.place].object
        assert article.keys() <= ALWAYS | {"url", "version", "visibility"}
        assert article.get("version", {}).keys() <= {"identifier", "size"}
        for path in ("url", "version.identifier", "version.size", "visibility", "name", "event"):
            assert got(article, path) == got(wanted, path), path


async def test_a_resume_goes_on_in_the_same_fields(endpoint: Endpoint) -> None:
    """A position is a position whatever is asked for there."""
    query = {"since": EVER, "fields": "name,version.*"}
    items = await read(endpoint, SOME, query=query)
    middle = vector(items[SOME // 2].id)
    async with streaming(
        endpoint, query={"fields": query["fields"]}, headers={"Last-Event-ID": items[SOME // 2].id}
    ) as stream:
        rest = await upto(stream, vector(items[-1].id))
    assert {item.place: item.data for item in rest} == {
        item.place: item.data for item in items if item.place[1] >= middle[item.place[0]]
    }


async def test_no_field_in_the_words_of_enterprise(endpoint: Endpoint) -> None:
    """422, naming it; an object wants its wildcard; aliases of its Avro names pass."""
    problem = await endpoint.problem(422, parameter="fields", query={"fields": "version.nmae"})
    assert problem["message"] == "field with name 'version.nmae' not found"
    problem = await endpoint.problem(422, parameter="fields", query={"fields": "version"})
    assert problem["message"] == "use wildcard 'version.*' to select all fields from the object"
    for bad in ("nmae", "name.*", "*", "__proto__.x", "x" * 500, ",".join(["name"] * 300)):
        await endpoint.problem(422, parameter="fields", query={"fields": bad})
    async with streaming(endpoint, query={"fields": "version.sizes.*,image.contentUrl,event.partition"}):
        pass
