"""What a move leaves behind."""

from streamer.model import Change, Place, identifier_derived


def redirect_left(move: Change, at: Place, page_id: int = 0) -> Change:
    return Change(
        identifier=identifier_derived(move.identifier, "redirect"),
        kind="create",
        wiki=move.wiki,
        server_name=move.server_name,
        title=at.title,
        namespace=at.namespace,
        edited_ms=move.edited_ms,
        upstream_ms=move.upstream_ms,
        page_id=page_id,
        bot=move.bot,
        is_redirect=True,
        user_removed=move.user_removed,
        cause="redirect",
        stream=move.stream,
        upstream_id=move.upstream_id,
    )
