"""Every article that a test is given is held against the published schema, at the places where tests read.

`checked` for what partners get, `checked_whole` for `wiki.articles.v1`. Compiled once a process: it costs
some 30 µs an article.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import jsonschema_rs
import msgspec

SCHEMAS: Final = Path(__file__).parent.parent.parent / "deploy" / "api" / "schema"
SHOWN_CHARS: Final = 300
ArticleT = TypeVar("ArticleT", bound=Mapping[str, Any])


@cache
def published() -> jsonschema_rs.Draft202012Validator:
    """As it lies there for partners."""
    return _compiled(msgspec.json.decode((SCHEMAS / "article.json").read_bytes()))


@cache
def whole() -> jsonschema_rs.Draft202012Validator:
    """Of articles before they are routed."""
    from streamer.deliver.article_schema import document  # noqa: PLC0415 - the other knows no code of ours

    return _compiled(document(whole=True, is_internal=True))


def _compiled(schema: Mapping[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True)


def checked(article: ArticleT) -> ArticleT:
    """Raises AssertionError with the path of what is wrong."""
    return _checked(article, published())


def checked_whole(article: ArticleT) -> ArticleT:
    return _checked(article, whole())


def checked_value(value: bytes) -> bytes:
    """The same of a record's value, as it is."""
    checked(msgspec.json.decode(value))
    return value


def _checked(article: ArticleT, validator: jsonschema_rs.Draft202012Validator) -> ArticleT:
    if not validator.is_valid(article):
        wrong = [
            f"{'.'.join(map(str, error.instance_path)) or 'the article'}: {error.message[-SHOWN_CHARS:]}"
            for error in validator.iter_errors(article)
        ]
        event = article.get("event")
        raise AssertionError(f"not what article.json says: {'; '.join(wrong)} (event: {event})")
    return article
