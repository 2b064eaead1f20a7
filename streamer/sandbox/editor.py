"""Those who edit the invented wikis by themselves, each going round a cycle of stories.

A cycle holds one of each thing that a consumer must cope with, its second half included: a create, a
move that leaves a redirect, a delete with its restore, vandalism with its rollback, of one edit and of
several, and with its end by an edit that only has the old text, what is hidden of a newest and of an older
revision, a suppression. Now and then vandalism stays for LONG_CYCLES. The other actions are ordinary edits.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Final

from streamer.sandbox.founding import revised
from streamer.sandbox.pages import (
    HIDDEN_COMMENT,
    HIDDEN_TEXT,
    HIDDEN_USER,
    SUPPRESSED,
    Deed,
    Page,
    Revision,
    WikiError,
)
from streamer.sandbox.wiki import Wiki
from streamer.sandbox.world import World

CYCLE: Final = 24
"""Actions. A cycle and the longest story in it (delete to restore, 7 actions) are over within 31 s."""
MAX_EDITORS: Final = 20
"""Above so many edits a second the editors work faster instead of becoming more."""
LATE_MS: Final = 5_000
LONG_SHARE: Final = 0.1
"""Of the cycles: vandalism that nobody notices for long begins in so many."""
LONG_CYCLES: Final = 3
MAX_PAGES: Final = 600
"""From then on each cycle also deletes a page and a redirect for good."""


def hire(world: World, start_ms: int, edits_per_s: float) -> None:
    """So many editors that each acts about once a second, one after the other."""
    count = max(1, min(MAX_EDITORS, int(edits_per_s)))
    tick_ms = 1000 * count / edits_per_s
    for number in range(count):
        first_ms = start_ms + int(tick_ms * number / count)
        world.schedule(first_ms, _round(world, Editor(world), first_ms, tick_ms))


def _round(world: World, editor: "Editor", first_ms: int, tick_ms: float) -> Callable[[int], None]:
    done = 0

    def act(now_ms: int) -> None:
        nonlocal done
        editor.act(now_ms)
        done += 1
        world.schedule(first_ms + int(done * tick_ms), act)

    return act


class Editor:
    """Goes round the cycle. Pages that wait for the second half of a story are the world's `busy`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng
        self._tick = 0
        self._held: dict[str, tuple[Wiki, Page]] = {}
        self._hidden: list[tuple[Wiki, Page, Revision]] = []
        self._long_since = 0
        """The cycle in which vandalism began that is not noticed yet."""
        self._stories: Mapping[int, Callable[[int], None]] = {
            0: self._create,
            1: lambda now_ms: self._spoil("several", now_ms),
            2: self._move,
            3: lambda now_ms: self._spoil("several", now_ms),
            4: lambda now_ms: self._spoil("vandal", now_ms),
            5: self._delete,
            6: lambda now_ms: self._spoil("quiet", now_ms),
            7: self._hide_newest,
            8: lambda now_ms: self._roll_back("several", 2, now_ms),
            9: self._hide_older,
            10: lambda now_ms: self._roll_back("vandal", 1, now_ms),
            11: self._spoil_for_long,
            12: self._restore,
            13: self._put_back,
            14: self._suppress,
            16: self._unhide,
            18: self._protect,
            19: self._move_back,
            20: self._delete_for_good,
            21: self._burst,
            22: self._edit_suppressed,
        }

    @property
    def _cycle(self) -> int:
        return (self._tick - 1) // CYCLE

    def act(self, now_ms: int) -> None:
        step = self._tick % CYCLE
        self._tick += 1
        # People who steer the sandbox may have taken the page or the title away: that story is not told.
        with contextlib.suppress(WikiError):
            self._stories.get(step, self._ordinary)(now_ms)

    def _hold(self, story: str, *, revisions: int = 1) -> tuple[Wiki, Page]:
        wiki, page = self._world.some_page(revisions=revisions)
        self._world.busy.add((wiki.site.wiki, page.identifier))
        self._held[story] = wiki, page
        return wiki, page

    def _release(self, story: str) -> tuple[Wiki, Page] | None:
        held = self._held.pop(story, None)
        if held:
            self._world.busy.discard((held[0].site.wiki, held[1].identifier))
        return held

    def _comment(self, wiki: Wiki) -> str:
        return self._world.authors[wiki.site.wiki].comment()

    def _ordinary(self, now_ms: int) -> None:
        world, rng = self._world, self._rng
        wiki, page = world.hot_page()
        user = world.some_user(wiki)
        author = world.authors[wiki.site.wiki]
        # What was hidden doesn't come back by the next edit.
        hidden = page.current.hidden & HIDDEN_TEXT and page.current.model == "wikitext"
        text = (
            author.article(page.title) if hidden else revised(page.current.text, page.current.model, author)
        )
        late_ms = rng.randrange(500, LATE_MS) if rng.random() < world.options.late_share else 0
        minor = rng.random() < 0.2
        world.edit(wiki, page, text, Deed(user, self._comment(wiki), now_ms), minor=minor, late_ms=late_ms)

    def _create(self, now_ms: int) -> None:
        world = self._world
        wiki = self._rng.choice(list(world.wikis.values()))
        title = world.new_title(wiki)
        text = world.authors[wiki.site.wiki].article(title)
        world.create(wiki, title, text, Deed(world.some_user(wiki), self._comment(wiki), now_ms))

    def _move(self, now_ms: int) -> None:
        world = self._world
        wiki, page = self._hold("move")
        namespace = page.namespace if page.namespace in (0, 1, 2, 4) else 0
        title = world.new_title(wiki, namespace)
        world.move(
            wiki, page, title, Deed(world.administrator(wiki), self._comment(wiki), now_ms), redirect=True
        )

    def _move_back(self, now_ms: int) -> None:
        """Every other time: over the redirect, without leaving one."""
        held = self._release("move")
        if not held or self._cycle % 2:
            return self._ordinary(now_ms)
        wiki, page = held
        redirect = next(
            (p for p in reversed(wiki.pages.values()) if p.is_redirect and page.title in p.current.text), None
        )
        if redirect is None:
            return self._ordinary(now_ms)
        user = self._world.administrator(wiki)
        return self._world.move(
            wiki, page, redirect.title, Deed(user, self._comment(wiki), now_ms), redirect=False
        )

    def _spoil(self, story: str, now_ms: int) -> None:
        """A page, or once more the page of this story."""
        world = self._world
        wiki, page = self._held.get(story) or self._hold(story)
        vandal = world.users[wiki.site.wiki][-1]
        text = world.authors[wiki.site.wiki].vandalised(page.current.text)
        world.edit(wiki, page, text, Deed(vandal, "", now_ms))

    def _roll_back(self, story: str, count: int, now_ms: int) -> None:
        held = self._release(story)
        if held:
            wiki, page = held
            self._world.roll_back(wiki, page, self._world.administrator(wiki), now_ms, count=count)

    def _put_back(self, now_ms: int) -> None:
        held = self._release("quiet")
        if held and len(held[1].revisions) > 1:
            wiki, page = held
            deed = Deed(self._world.some_user(wiki), self._comment(wiki), now_ms)
            self._world.put_back(wiki, page, page.revisions[-2], deed)

    def _spoil_for_long(self, now_ms: int) -> None:
        if "long" not in self._held and self._rng.random() < LONG_SHARE:
            self._long_since = self._cycle
            self._spoil("long", now_ms)
        elif "long" in self._held and self._cycle - self._long_since >= LONG_CYCLES:
            self._roll_back("long", 1, now_ms)
        else:
            self._ordinary(now_ms)

    def _delete(self, now_ms: int) -> None:
        wiki, page = self._hold("delete")
        quoted = page.current.text[:80]
        # Deletion comments quote the deleted text: that is why nobody may pass them on.
        comment = f'content was: "{quoted}"'
        self._world.delete(wiki, page, Deed(self._world.administrator(wiki), comment, now_ms))

    def _restore(self, now_ms: int) -> None:
        held = self._release("delete")
        if held:
            wiki, page = held
            self._world.restore(
                wiki, page, Deed(self._world.administrator(wiki), self._comment(wiki), now_ms)
            )

    def _delete_for_good(self, now_ms: int) -> None:
        if sum(len(wiki.pages) for wiki in self._world.wikis.values()) < MAX_PAGES:
            return self._ordinary(now_ms)
        world = self._world
        for wiki, page in (world.some_page(), *world.old_redirects()[:1]):
            world.delete(wiki, page, Deed(world.administrator(wiki), self._comment(wiki), now_ms))
        return None

    def _hide_newest(self, now_ms: int) -> None:
        """MediaWiki refuses to hide the text of the newest revision; old imports have it, so half do here."""
        wiki, page = self._hold("newest", revisions=2)
        bits = HIDDEN_TEXT | HIDDEN_COMMENT if self._cycle % 2 else HIDDEN_COMMENT | HIDDEN_USER
        self._set(wiki, page, page.current, bits, now_ms)

    def _hide_older(self, now_ms: int) -> None:
        wiki, page = self._hold("older", revisions=2)
        self._set(wiki, page, page.revisions[-2], HIDDEN_TEXT | HIDDEN_COMMENT | HIDDEN_USER, now_ms)

    def _suppress(self, now_ms: int) -> None:
        wiki, page = self._hold("suppressed", revisions=2)
        revision = page.current if self._cycle % 2 else page.revisions[-2]
        bits = HIDDEN_TEXT | HIDDEN_COMMENT | HIDDEN_USER | SUPPRESSED
        self._world.set_visibility(
            wiki, page, revision, bits, Deed(self._world.administrator(wiki), "", now_ms)
        )

    def _set(self, wiki: Wiki, page: Page, revision: Revision, bits: int, now_ms: int) -> None:
        self._hidden.append((wiki, page, revision))
        user = self._world.administrator(wiki)
        self._world.set_visibility(wiki, page, revision, bits, Deed(user, self._comment(wiki), now_ms))

    def _unhide(self, now_ms: int) -> None:
        """What was hidden in this cycle comes back in two of three; the rest stays hidden."""
        for story in ("newest", "older"):
            self._release(story)
        hidden, self._hidden = self._hidden, []
        for wiki, page, revision in hidden:
            if self._rng.random() < 2 / 3:
                user = self._world.administrator(wiki)
                self._world.set_visibility(wiki, page, revision, 0, Deed(user, self._comment(wiki), now_ms))

    def _edit_suppressed(self, now_ms: int) -> None:
        held = self._release("suppressed")
        if held:
            wiki, page = held
            text = self._world.authors[wiki.site.wiki].article(page.title)
            self._world.edit(wiki, page, text, Deed(self._world.some_user(wiki), self._comment(wiki), now_ms))

    def _protect(self, now_ms: int) -> None:
        wiki, page = self._world.some_page()
        self._world.protect(wiki, page, Deed(self._world.administrator(wiki), self._comment(wiki), now_ms))

    def _burst(self, now_ms: int) -> None:
        """Three in one millisecond: their ids in the stream are equal."""
        for _ in range(3):
            self._ordinary(now_ms)
