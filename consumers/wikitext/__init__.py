"""Wikitext as a reader sees it, without asking the wiki: pure, and linear in what it is given.

The service makes `article_body.text` by it, and a corpus the text of what it reads from dumps: the first edit
after a dump then changes only what somebody edited. It stands on the partner's side, which imports nothing of
the service.

`tags` takes out what is no prose and keeps literally what markup doesn't reach; `links` leaves the text of
links; `templates` leaves of a template what `prose` says that a reader sees, and hands infoboxes to
`infobox`; `lines` makes a page of the rest. Markup is hostile input: no step here goes back over what it has
passed but a bounded number of times, and none recurses.
"""
