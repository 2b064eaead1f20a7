"""Page lists and parts of the text in a partner's table, and the plan that they make."""

import pytest

from streamer.errors import ConfigError
from streamer.partners import Partner, Partners, parse_partners
from streamer.plan import Plan, plan_of, planning


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


def test_the_plan_is_made_once_for_the_partners_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """And anew when they are others: the watch never changes a set of partners, it takes another."""
    made: list[Partners] = []

    def counted(partners: Partners) -> Plan:
        made.append(partners)
        return plan_of(partners)

    monkeypatch.setattr("streamer.plan.plan_of", counted)
    current: Partners = {"a": Partner(lists=("categories",))}
    plan = planning(lambda: current)
    assert [plan().lists for _ in range(3)] == [{"categories"}] * 3
    current = {}
    assert [plan().lists for _ in range(3)] == [frozenset()] * 3
    assert len(made) == 2


def test_rules_are_others_with_other_lists() -> None:
    """What a feed holds changes with them; a table without any is as it was before there were lists."""
    assert Partner(lists=("categories",)).rules != Partner().rules
    assert Partner(lists=()).rules == Partner().rules
