"""Page lists and parts of the text in a partner's table, and the plan that they make."""

import pytest

from streamer.errors import ConfigError
from streamer.partners import Partner, parse_partners
from streamer.plan import plan_of


def test_what_a_table_may_ask_for() -> None:
    """Lists by a key of their own or by a field; sections and infoboxes as parts of the text."""
    text = (
        '[a]\nlists = ["categories"]\nfields = ["name", "redirects.name"]\n'
        '[b]\ncontent = ["wikitext", "sections", "infoboxes"]\n[c]\n'
    )
    partners = parse_partners(text, "partners.toml")
    assert partners["a"].page_lists == {"categories", "redirects"}
    assert partners["a"].selected == ("name", "redirects.name", "categories.*")
    assert (partners["c"].page_lists, partners["c"].selected) == (frozenset(), ())
    plan = plan_of(partners)
    assert plan.lists == {"categories", "redirects"}
    assert (plan.sections, plan.infoboxes) == (True, True)
    assert plan_of({"c": partners["c"]}) == plan_of({})
    assert not plan.scores
    assert plan_of({**partners, "d": Partner(max_revert_risk=0.9)}).scores


@pytest.mark.parametrize("text", ['lists = ["links"]', "lists = [1]", 'content = ["abstract"]'])
def test_what_it_may_not_ask_for(text: str) -> None:
    """The refusal names the key."""
    key = text.partition(" ")[0]
    with pytest.raises(ConfigError, match=rf"a\.{key}"):
        parse_partners(f"[a]\n{text}\n", "partners.toml")


def test_rules_are_others_with_other_lists() -> None:
    """What a feed holds changes with them; a table without any is as it was before there were lists."""
    assert Partner(lists=("categories",)).rules != Partner().rules
    assert Partner(lists=()).rules == Partner().rules
