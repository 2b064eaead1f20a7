"""Wikitext as a reader sees it, without asking the wiki: pure, and linear in what it is given.

`tags` takes out what is no prose and keeps literally what markup doesn't reach; `links` leaves the text of
links; `templates` leaves of a template what `prose` says that a reader sees, and hands infoboxes to
`infobox`; `lines` makes a page of the rest. Markup is hostile input: no step here goes back over what it has
passed but a bounded number of times, and none recurses.
"""
