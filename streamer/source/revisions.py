"""The streams about single revisions: what can be seen of them, and what is thought of them."""

from typing import Literal

from streamer.admission import Rules
from streamer.errors import EventInvalid
from streamer.model import Change, ChangeRecord, Visibility, identifier_of_event
from streamer.source import hints
from streamer.source import upstream as up
from streamer.source.checks import (
    is_absent,
    may_be_id,
    must_be_host,
    must_be_id,
    must_be_namespace,
    must_be_title,
    must_be_upstream_ms,
    must_be_wiki,
)
from streamer.source.told import STREAM_OF, Drop, admitted


def of_revision(
    event: up.RevisionEvent, family: Literal["visibility", "tags"], rules: Rules
) -> tuple[ChangeRecord, ...]:
    wiki = must_be_wiki(event.database)
    namespace = must_be_namespace(event.page_namespace)
    if family == "tags":
        if not rules.admits_place(wiki, namespace):
            raise Drop("not_admitted")
        page_id, revision = must_be_id(event.page_id), must_be_id(event.rev_id)
        return (hints.of_tags(event, wiki, page_id, revision, must_be_upstream_ms(event.meta)),)
    if rules.owners["visibility"] != "visibility":
        raise Drop("other_owner")
    flags = event.visibility
    if flags is None or not event.meta.id:
        raise EventInvalid("missing_field")
    upstream_ms = must_be_upstream_ms(event.meta)
    change = Change(
        identifier=identifier_of_event(event.meta.id),
        kind="visibility",
        wiki=wiki,
        server_name=must_be_host(event.meta.domain),
        title=must_be_title(event.page_title),
        namespace=namespace,
        edited_ms=upstream_ms,
        upstream_ms=upstream_ms,
        page_id=must_be_id(event.page_id),
        revision=must_be_id(event.rev_id),
        parent=may_be_id(event.rev_parent_id),
        minor=bool(event.rev_minor_edit),
        size=event.rev_len,
        is_redirect=event.page_is_redirect,
        visibility=Visibility(text=flags.text, editor=flags.user, comment=flags.comment),
        suppressed=is_absent(event.performer),
        stream=STREAM_OF["visibility"],
        upstream_id=event.meta.id,
    )
    return admitted((change,), rules)


def of_prediction(event: up.PredictionChange, rules: Rules) -> tuple[ChangeRecord, ...]:
    wiki = must_be_wiki(event.wiki_id)
    if not rules.admits_place(wiki, must_be_namespace(event.page.namespace_id)):
        raise Drop("not_admitted")
    page_id, revision = must_be_id(event.page.page_id), must_be_id(event.revision.rev_id)
    hint = hints.of_prediction(event, wiki, page_id, revision, must_be_upstream_ms(event.meta))
    if hint is None:
        raise Drop("no_signal")
    return (hint,)
