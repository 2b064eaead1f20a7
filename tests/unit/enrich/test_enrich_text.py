"""Plain text: what stays, what goes, and in which form."""

import json
from pathlib import Path

import pytest

from consumers.wikitext.plain import MAX_ABSTRACT_CHARS
from consumers.wikitext.text import Make, Origin, nothing, origin_of, plain_text

GERMAN = origin_of("Berlin", {0: "", 6: "Datei", 14: "Kategorie", 10: "Vorlage"}, {"Bild": 6, "WP": 4})

PAGE = """{{Infobox|a={{b|c}}|pic=[[File:x.jpg]]}}
:''Another [[Berlin (ship)|Berlin]] is a ship.''
'''Berlin''' ({{Unknown|x|y}}) is the [[capital city|capital]] of [[Germany]].<ref name="a">f {{cite|x}}</ref>
<ref name="a"/>
[[Datei:X.jpg|mini|ein [[Link]] [darin]]]
It has [https://x.example people] &amp; rivers.<!-- no one -->

== History ==
{| class="wikitable"
|-
| cell || {{c}}
|}
* ''one''
# two [[:Category:Kept]] [[Category:Gone]]
<gallery>
File:a.jpg|caption
</gallery>
__NOTOC__ last<br/>line <nowiki/>

[[fr:Berlin]]
"""


def test_what_a_reader_reads() -> None:
    """Link text, headings and list items stay; templates, tables, refs, files, categories, comments, links to
    other languages and a line that points to another page go.
    """
    text, abstract, sections, infoboxes = plain_text(PAGE, GERMAN)
    assert text == (
        "Berlin is the capital of Germany.\n\nIt has people & rivers.\n\nHistory\n\n"
        "- one\n1. two Category:Kept\n\nlast\nline"
    )
    assert abstract == "Berlin is the capital of Germany."
    assert sections is None
    assert infoboxes is None


FORMS = {
    "lines of a paragraph are one": ("a\nb\n\nc", "a b\n\nc"),
    "a heading stands alone": ("a\n== B ==\nc", "a\n\nB\n\nc"),
    "a heading of another level": ("====== B ======\n= C =\n=== D ==", "B\n\nC\n\n= D"),
    "an empty heading is none": ("a\n== ==\nb", "a\n\nb"),
    "no heading": ("a = b\n=c", "a = b =c"),
    "nested lists": ("* a\n** b\n*# c\n*# d\n* e", "- a\n  - b\n  1. c\n  2. d\n- e"),
    "numbers go on": ("# a\n#: more\n## x\n# b\n\n# c", "1. a\n    more\n  1. x\n2. b\n\n1. c"),
    "definitions": (
        "; term : what it is\n; other\n: this\n:: further",
        "term\n  what it is\nother\n  this\n    further",
    ),
    "indented": ("a\n: b\nc", "a\n\n  b\n\nc"),
    "lists end": ("* a\nb\n* c", "- a\n\nb\n\n- c"),
    "breaks": ("a<br>b<br />\nc", "a\nb\nc"),
    "a poem": ("<poem>\none\n  two\n\nthree\n</poem>", "one\ntwo\n\nthree"),
    "preformatted": (" a  b\n  c\nd", "a  b\n c\n\nd"),
    "pre": ("x\n<pre>\n''a''  [[b]]\n\n* c\n</pre>", "x\n\n''a''  [[b]]\n\n* c"),
    "code": (
        '<syntaxhighlight lang="c">int main() { return a[[0]]; }</syntaxhighlight>',
        "int main() { return a[[0]]; }",
    ),
    "headings of HTML": (
        "a<h2 id=x>B ''<small>c</small>''\nd</h2>e\n<h3>F</h2> g",
        "a\n\nB c d\n\ne\n\nF\n\ng",
    ),
    "blocks of HTML": (
        "<div>a</div><blockquote>b</blockquote>c<ul><li>d</li><li>e</li></ul>",
        "a\n\nb\n\nc\n\n- d\n- e",
    ),
    "a rule": ("a\n----\nb", "a\n\nb"),
    "white space": ("a \t&nbsp; b\u00a0\u00a0c  ", "a b c"),
}


@pytest.mark.parametrize(("markup", "text"), FORMS.values(), ids=FORMS.keys())
def test_the_form(markup: str, text: str) -> None:
    """Of consumers.wikitext.plain's docstring, line by line."""
    assert plain_text(markup).text == text


READ = {
    "bold and italics": ("'''a''' ''b'' '''''c''''' d's", "a b c d's"),
    "an apostrophe before italics": ("l'''amour'' et\n\nd'''eau''", "l'amour et\n\nd'eau"),
    "one letter, then bold": ("'''b''' l'''amour''", "b l'amour"),
    "four apostrophes": ("''''a''''", "'a'"),
    "seven apostrophes": ("'''''''a'''''", "''a"),
    "trail": ("[[house]]s [[a|b]]c", "houses bc"),
    "pipe trick": ("[[Foo (bar)|]] [[Talk:Foo, Bar|]]", "Foo Foo"),
    "a link to a section": ("[[a#b]] [[#c]] [[a_b]]", "a#b #c a_b"),
    "a link with what looks like an argument": ("{{nowrap|[[a|b=c]] [[d|e{{!}}f]]}}", "b=c ef"),
    "file in file": ("a [[File:x.jpg|thumb|b [[File:y.jpg]] [[c|d]] [http://e f]]] g", "a g"),
    "file by its local name": ("a [[Datei:x.jpg|b]] [[bild : y.jpg|c]] [[Bild:z.jpg]] d", "a d"),
    "category by its local name": ("a\n[[Kategorie:B]]", "a"),
    "media": ("a [[Media:x.ogg|b]] c", "a c"),
    "another language": ("a\n[[fr:B]]\n[[zh-min-nan:C]]", "a"),
    "a work that begins so": ("[[re:Zero]] [[re: Z|x]] [[zh-yue:A]] [[simple:B]]", "re:Zero x"),
    "another project": ("[[wikt:a|b]] [[doi:10.1/x|c]] [[:fr:d]] [[WP:x]]", "b c fr:d WP:x"),
    "external": (
        "[https://a.example b c] [https://a.example] [//a.example d] https://e.example [mailto:x@y z]",
        "b c d https://e.example z",
    ),
    "no link": ("a[0] [b] [ c ]", "a[0] [b] [ c ]"),
    "entities": ("&lt;b&gt; &eacute; &#8364; &#x20AC; &amp;amp; &nosuch;", "<b> é € € &amp; &nosuch;"),
    "no entities": ("[https://a.example/?a=1&section=5&copy=2 b] c?a=1&section=5&copy=2 &notit;",
        "b c?a=1&section=5&copy=2 &notit;"),
    "entities in nowiki": (
        "<nowiki>&lt;b&gt; &#91;y&#93; &amp;lt; &amp;</nowiki>lt; <nowiki>&</nowiki>gt;",
        "<b> [y] &lt; &lt; &gt;",
    ),
    "entities in pre": ("<pre>&lt;b&gt; &amp;lt; <nowiki>c</nowiki></pre>", "<b> &lt; c"),
    "entities in code": ("<source lang=c>a &lt; b && &c;</source>", "a &lt; b && &c;"),
    "code in a line": ('the <source lang="c" inline>a[0]\n = {b}</source> is', "the a[0] = {b} is"),
    "nowiki": ("<nowiki>'''[[a]]''' {{b}} <ref></nowiki> &lt;", "'''[[a]]''' {{b}} <ref> <"),
    "nowiki at the start of a line": ("a\n\n<nowiki>* b</nowiki>", "a\n\n* b"),
    "included elsewhere": (
        "<noinclude>a</noinclude><includeonly>b</includeonly><onlyinclude>c</onlyinclude>",
        "ac",
    ),
    "magic words": (
        "__NOTOC__a __НЕТ_СОДЕРЖАНИЯ__ __لافهرس__ __目次非表示__ __KEIN_INHALTSVERZEICHNIS__ __init__",
        "a __init__",
    ),
    "words of programs": (
        "__MY_VAR__ __END__ __notoc__ __NOTDC__ ____TOC____ __INDEX__ __index__",
        "__MY_VAR__ __END__ ____TOC____ __index__",
    ),
    "attributes with an end of a tag": (
        """<i a="x > y">b</i> <br a='>'>c<ref name="a>b">d</ref> <b a="x>e "f"</b> <i a=O'B>g's</i>""",
        """b\nc e "f" g's""",
    ),
    "variants": ("-{zh-cn:计算机; zh-tw:電腦;}- -{a}- -{T|b}- -{zh-hk:c}- -{H|zh-cn:d}-", "计算机 a c"),
    "variants of links": ("-{A|zh-cn:[[x|y]];zh-tw:z}- -{zh-tw:[[x|a]]; zh-hk:b}-", "y a"),
    "variants with entities": ("-{zh-cn:A&nbsp;B;zh-tw:C}- -{zh-tw:1;2 ; zh-hk : 3;}-", "A B 1;2"),
    "comments": ("a<!-- b -->c\n<!-- d -->\ne<!-- f", "ac e"),
    "a comment alone does not part": ("a\n<!-- b -->\nc", "a c"),
    "a reference alone does not part": ("a\n<ref>b</ref>\n<ref name=x />\nc", "a c"),
    "unclosed ref": ("a<ref>b", "ab"),
    "subscript": ("H<sub>2</sub>O, m<sup>2</sup>", "H2O, m2"),
    "math goes": ("a <math>x^2</math> b", "a b"),
    "empty brackets": ("A ({{IPA-x|y|z}}; {{lang-xx}}) is, f() is", "A is, f() is"),
    "ended brackets": (
        "北京（{{lang-en|Beijing}}；{{bd|1|2}}） A ({{lang-la|b}}, {{Unseen}}; ) is (see [//x.example]) c ;)",
        "北京（Beijing） A (b) is c ;)",
    ),
    "words in brackets": ("(see b) (see) (see [//x.example c]) d (e ; {{f}})", "(see b) (see) (see c) d (e)"),
    "brackets": (
        "f(a, b), g(a; b); (1,000)", "f(a, b), g(a; b); (1,000)",
    ),
    "begun brackets": ("A ({{Unseen}}, born 1900) is", "A (born 1900) is"),
    "tables": ("a\n{|\n|-\n| b\n{|\n| c\n|}\n| d\n|}\ne", "a\n\ne"),
    "tables of HTML": ("a\n<table><tr><td>b<table><td>c</table></td></tr></table>d</table>", "a d"),
    "an unclosed table among others": (
        "a\n{|\n| b\n* c\n|}\nd\n{|\n| x\n\ne\n{|\n|\n* f\n{|\n|\ng\n|}\n|}\nh\n\n{|\n|\ni\n|}\nj",
        "a\n\nd\n\ne\n\nh\n\nj",
    ),
    "an unclosed table": ("a\n{| class=x\n|-\n! b\n| c\nd", "a\n\nd"),
    "an unclosed template": ("a\n{{Infobox\n| b = c\n}\nd", "a\n\n} d"),
    "unclosed links": ("a [[b and [[c|d\n[[File:x|y\ne f", "a b and c|d\n\ne f"),
    "stray brackets": ("a }} b ]] c |}", "a b c |}"),
    "parameters": ("{{{1|a}}} {{{b}}}", "a"),
    "single braces": ("{{t|x|{a} }} {b} {{nowrap|{c}}}", "{b} {c}"),
}  # fmt: skip


@pytest.mark.parametrize(("markup", "text"), READ.values(), ids=READ.keys())
def test_markup_is_read_as_mediawiki_reads_it(markup: str, text: str) -> None:
    assert plain_text(markup, GERMAN).text == text


LIFE = (
    "Nome=Ida|Cognome=Moss|Sesso=F|LuogoNascita=[[Steinbrück]]|GiornoMeseNascita=3 maggio|AnnoNascita=1901"
    "|LuogoMorte=Larkhaven|AnnoMorte=1980|Attività=scrittrice|Attività2=attrice|Nazionalità=norrena"
    "|PostNazionalità=, nota per ''Il porto''"
)
LIFE_TOLD = (
    "Ida Moss (Steinbrück, 3 maggio 1901 \u2013 Larkhaven, 1980) è stata una scrittrice e attrice norrena"
)
TEMPLATES = {
    "an argument": (
        "{{lang|fr|mot}} {{nowrap|a [[b|c]]}} {{Langue|en|word}} {{lang-la|x}}",
        "mot a c word x",
    ),
    "by number": ("{{lang|1=fr|2=mot}}", "mot"),
    "links to what another wiki has": (
        "是{{tsl|en|B|乙}}，{{internal link helper/en|丙|C}}，{{link-en|丁|D}} {{native name|fr|Nom|a=b}}",
        "是乙，丙，丁 Nom",
    ),
    "nested": ("{{nowrap|a {{lang|fr|{{small|mot}}}}}}", "a mot"),
    "signs": ("{{'}}a{{snd}}b{{ndash}}c {{=}}", "'a – b–c ="),
    "measures": (
        "{{convert|5|km|mi}} {{convert|5|to|10|km}} {{cvt|5|ft|10|in}} {{convert|3|-|4|kg|lb}}",
        "5 km 5 to 10 km 5 ft 10 in 3–4 kg",
    ),
    "fractions": ("{{frac|1|2}} {{frac|3|1|2}} {{frac|4}}", "1⁄2 3 1⁄2 1⁄4"),
    "dates": ("{{start date|2003|5|1}} {{date|4|mars|1990}} {{dts|1970}}", "2003-05-01 4 mars 1990 1970"),
    "centuries": ("le {{s|XIX|e}} et {{nobr|{{1er}} mai}}", "le XIXe siècle et 1er mai"),
    "functions": ("{{lc:A}} {{formatnum:1234}} {{#if:a|b|c}} {{DEFAULTSORT:x}}", "A 1234"),
    "the page's own name": ("'''{{PAGENAME}}''' is", "Berlin is"),
    "by shape": ("it is {{whatever|said here}}, and {{other|x|y}} not", "it is said here, and not"),
    "notes by shape": ("the word{{whatever|a note}} and.{{whatever|another}}", "the word and."),
    "notes by name": ("the word {{efn|a note}} and", "the word and"),
    "in a script without spaces": ("東京は{{whatever|大都市}}である。", "東京は大都市である。"),
    "a note before the words": ("{{Main|Other}} '''Berlin''' is", "Berlin is"),
    "a source with a quote": ("* {{Citation|title=a|quote=b c}}\n* d", "- d"),
    "alone on its line": ("a\n{{Main|Other}}\nb\n* {{IMDb|123}}\n", "a\n\nb"),
    "in a namespace": ("{{Template:nowrap|a}} {{Vorlage:nowrap|b}} {{ nowrap | c }} {{NoWrap|d}}", "a b c d"),
    "lists": ("{{ubl|a|b}}", "- a\n- b"),
    "lists in columns": ("a\n{{cols|width=3|\n* b\n* c\n}}\nd", "a\n\n- b\n- c\n\nd"),
    "quotes": ("{{Quote|text=a b|author=c}}\n{{Zitat|Text=d|Übersetzung=e|ref=<ref>f</ref>}}", "a b d\n\ne"),
    "ordinals": ("la {{3e|place}} du {{XXe siècle}} et {{1er}}", "la 3e place du XXe siècle et 1er"),
    "a letter that tells what to show": ("al {{Calcio Milan|N}} nel", "al nel"),
    "an Italian life": (f"{{{{Bio|{LIFE}}}}}", f"{LIFE_TOLD}, nota per Il porto."),
    "another": ("{{Bio|Nome=Ugo|Attività=scultore|AnnoNascita=?}}", "Ugo (…) è uno scultore."),
    "one told in words": ("{{Bio|Nome=Ugo|FineIncipit=fu re}}", "Ugo fu re."),
}  # fmt: skip


@pytest.mark.parametrize(("markup", "text"), TEMPLATES.values(), ids=TEMPLATES.keys())
def test_templates_that_mark_up_words_leave_them(markup: str, text: str) -> None:
    """Well-known ones, and those that stand like words in a sentence; all others leave nothing."""
    assert plain_text(markup, GERMAN).text == text


ORIGINS = {
    "an article": ("AC/DC", 0, "AC/DC|AC/DC|AC/DC|AC/DC"),
    "a page of the project": ("Project:A/B/C", 4, "A/B/C|A/B|C|Project:A/B/C"),
    "one with a colon": ("Talk:Re:Zero", 1, "Re:Zero|Re:Zero|Re:Zero|Talk:Re:Zero"),
    "a file": ("File:A/B.jpg", 6, "A/B.jpg|A/B.jpg|A/B.jpg|File:A/B.jpg"),
    "of a user": ("User:Ida Moss/x", 2, "|||"),
    "talk of a user": ("User talk:Ida Moss", 3, "|||"),
}


@pytest.mark.parametrize(("title", "namespace", "told"), ORIGINS.values(), ids=ORIGINS.keys())
def test_a_page_tells_its_own_name(title: str, namespace: int, told: str) -> None:
    """As MediaWiki does, which knows no subpages of articles and files. Nothing of a user's page, and never
    who edited: privacy would not find it there.
    """
    markup = "{{PAGENAME}}|{{BASEPAGENAME}}|{{SUBPAGENAME}}|{{FULLPAGENAME}}"
    origin = origin_of(title, {}, {}, namespace)
    assert plain_text(f"x{markup}", origin).text == f"x{told}"
    hidden = "x{{REVISIONUSER}} {{lc:{{REVISIONUSER}}}} {{revisionuser}} {{nowrap|{{REVISIONUSER:a}}}}"
    assert plain_text(hidden, origin).text == "x"


def test_an_abstract_is_bounded_and_before_the_first_heading() -> None:
    """The first paragraph, no list, cut at a space."""
    assert plain_text("== H ==\nafter").abstract == ""
    assert plain_text("* item\n\nprose").abstract == "prose"
    long = plain_text("word " * 1_000).abstract
    assert len(long) <= MAX_ABSTRACT_CHARS
    assert long.endswith("word")


def test_only_what_is_asked_for_is_made() -> None:
    for make in (Make(), Make(False, True), Make(False, False, True), Make(True, True, True)):
        for made in (plain_text("a", make=make), nothing(make)):
            assert [part is not None for part in (made.text, made.sections, made.infoboxes)] == list(make)
    assert plain_text("a", make=Make(False, True)).abstract == ""


def test_noncharacters_of_a_page_are_no_markup() -> None:
    """What stands for literal characters within is not had from outside."""
    assert plain_text("a\ufdd0\ufdd0b\ufdefc\ufdeed", Origin()).text == "abcd"


def test_real_wikitext(shared_data: Path) -> None:
    """What a real MediaWiki served comes out without markup."""
    answer = json.loads((shared_data / "mediawiki-1.39/api/revisions_redirect_resolved.json").read_text())
    content = answer["body"]["query"]["pages"][0]["revisions"][0]["slots"]["main"]["content"]
    text = plain_text(content).text
    assert text
    assert text.startswith("Probe text with ünïcödé 日本語 😀")
    assert "[[" not in text
    assert "Category" not in text
