"""page_change: what was moved, deleted and restored, with page ids; and a hint for every edit."""

import msgspec

from streamer.admission import Rules
from streamer.errors import EventInvalid
from streamer.model import (
    Change,
    ChangeRecord,
    Kind,
    Place,
    Visibility,
    identifier_of_event,
    identifier_of_revision,
)
from streamer.source import hints
from streamer.source import upstream as up
from streamer.source.checks import (
    may_be_id,
    must_be_host,
    must_be_id,
    must_be_ms,
    must_be_namespace,
    must_be_title,
    must_be_upstream_ms,
    must_be_wiki,
)
from streamer.source.moves import redirect_left
from streamer.source.told import STREAM_OF, Drop, admitted


def of_page_change(event: up.PageChange, rules: Rules) -> tuple[ChangeRecord, ...]:
    kind: Kind
    match event.page_change_kind:
        case "create" | "edit" as kind:
            wiki = must_be_wiki(event.wiki_id)
            must_be_title(event.page.page_title)
            if not rules.admits_place(wiki, must_be_namespace(event.page.namespace_id)):
                raise Drop("not_admitted")
            hint = hints.of_page_change(
                event, wiki, must_be_id(event.page.page_id), must_be_upstream_ms(event.meta)
            )
            if rules.owners[kind] != "page_change":
                return (hint,)
            return (*admitted((_change_of_page(event, kind),), rules), hint)
        case "move" | "delete" as kind:
            pass
        case "undelete":
            kind = "restore"
        case "visibility_change":
            kind = "visibility"
        case None:
            raise EventInvalid("missing_field")
        case _:
            raise Drop("type_unknown")
    if rules.owners[kind] != "page_change":
        raise Drop("other_owner")
    change = _change_of_page(event, kind)
    if kind == "move":
        return admitted(_moved_page(event, change), rules)
    return admitted((change,), rules)


def _change_of_page(event: up.PageChange, kind: Kind) -> Change:
    wiki = must_be_wiki(event.wiki_id)
    meta, page, revision = event.meta, event.page, event.revision
    number = may_be_id(revision.rev_id)
    if kind in ("create", "edit"):
        identifier = identifier_of_revision(wiki, must_be_id(number))
    elif meta.id:
        identifier = identifier_of_event(meta.id)
    else:
        raise EventInvalid("missing_field")
    before = event.prior_state.revision if event.prior_state else None
    visibility = None
    if kind == "visibility":
        flags = (revision.is_content_visible, revision.is_editor_visible, revision.is_comment_visible)
        if None in flags or not number:
            raise EventInvalid("missing_field")
        visibility = Visibility(text=bool(flags[0]), editor=bool(flags[1]), comment=bool(flags[2]))
    return Change(
        identifier=identifier,
        kind=kind,
        wiki=wiki,
        server_name=must_be_host(meta.domain),
        title=must_be_title(page.page_title),
        namespace=must_be_namespace(page.namespace_id),
        edited_ms=must_be_ms(event.dt) if event.dt else must_be_upstream_ms(meta),
        upstream_ms=must_be_upstream_ms(meta),
        page_id=must_be_id(page.page_id),
        revision=number,
        parent=may_be_id(revision.rev_parent_id),
        bot=bool(event.performer and event.performer.is_bot),
        minor=bool(revision.is_minor_edit),
        size=revision.rev_size,
        parent_size=before.rev_size if before else None,
        is_redirect=page.is_redirect,
        user_removed=revision.is_editor_visible is False,
        visibility=visibility,
        suppressed=event.performer is None and kind in ("delete", "visibility"),
        stream=STREAM_OF["page_change"],
        upstream_id=meta.id,
    )


def _moved_page(event: up.PageChange, change: Change) -> tuple[Change, ...]:
    """`prior_state.page` holds only what differs."""
    old = event.prior_state.page if event.prior_state else None
    if old is None or (old.page_title is None and old.namespace_id is None):
        return (change,)
    title = must_be_title(old.page_title) if old.page_title is not None else change.title
    namespace = must_be_namespace(old.namespace_id) if old.namespace_id is not None else change.namespace
    change = msgspec.structs.replace(change, previous=Place(title, namespace))
    left = event.created_redirect_page
    if left is None:
        return (change,)
    at = Place(
        must_be_title(left.page_title) if left.page_title is not None else title,
        must_be_namespace(left.namespace_id) if left.namespace_id is not None else namespace,
    )
    return (change, redirect_left(change, at, may_be_id(left.page_id)))
