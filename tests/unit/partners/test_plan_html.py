"""Whose HTML is asked for."""

import pytest

from streamer.partners import Partner
from streamer.plan import Plan, plan_of

WITH = {"content": ("html",)}


@pytest.mark.parametrize(
    ("partners", "wanted"),
    [
        ([], []),
        ([Partner()], []),
        ([Partner(fields=("name", "version.*", "article_body.wikitext"), **WITH)], []),
        ([Partner(fields=("name", "abstract"), namespaces=(1,), **WITH)], ["enwiki:1"]),
        ([Partner(fields=("article_body.sections.text",), namespaces=(1,), **WITH)], []),
        ([Partner(fields=("article_body.text",), namespaces=(1,), **WITH)], ["enwiki:1"]),
        ([Partner(**WITH)], ["enwiki:0", "enwiki:1", "dewiki:0", "dewiktionary:4"]),
        ([Partner(wikis=("dewik*",), **WITH)], ["dewiki:0", "dewiktionary:4"]),
        ([Partner(), Partner(wikis=("dewiki",), namespaces=(0, 1), **WITH)], ["dewiki:0"]),
        (
            [Partner(wikis=("enwiki",), namespaces=(1,), **WITH), Partner(namespaces=(4,), **WITH)],
            ["enwiki:1", "dewiktionary:4"],
        ),
    ],
)
def test_html_is_wanted_of_what_a_partner_with_html_is_given(
    partners: list[Partner], wanted: list[str]
) -> None:
    """By its wikis and namespaces: its share of the budget is short."""
    plan = plan_of({str(number): partner for number, partner in enumerate(partners)})
    pages = ["enwiki:0", "enwiki:1", "dewiki:0", "dewiktionary:4"]
    found = [page for page in pages if plan.wants_html(page.split(":")[0], int(page.split(":")[1]))]
    assert found == wanted


def test_a_plan_that_says_no_more_is_about_everything() -> None:
    """As the other parts of a plan."""
    assert Plan(html=True).wants_html("enwiki", 0)
    assert not Plan().wants_html("enwiki", 0)
