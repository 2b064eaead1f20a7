"""Names of well-known templates, by what a reader sees of them; in lower case, between bars."""

from typing import Final

FIRST: Final = """
nowrap|nobr|nobreak|nw|nobold|noitalic|normal|small|smaller|big|bigger|large|abbr|abbrv|abr
|abréviation|tooltip|sub|sup|smallsup|em|strong|bold|italic|underline|mono|code|kbd|var|mvar|tt
|visible anchor|vanchor|unicode|ipa|api|ill|interlanguage link|illm|lien|le|link-interwiki|仮リンク
|quote|blockquote|quotation|bquote|cquote|zitat|citation bloc|citation|"|center|centre|smallcaps
|sc|petites capitales|rom-maj|romain|nihongo|url|flag|flagcountry|flagu|sic|typo|formatnum|lc|uc
|lcfirst|ucfirst|refnec|référence nécessaire|référence souhaitée|citation needed span|fact span
|citation étrangère|ruby|読み仮名|要出典範囲|abbreviation|plainlist|flatlist|polytonic|script|term|defn|gli
|iast|block indent|indent|poemquote|mp|цитата|начало цитаты|نص|اقتباس|ציטוט|citat|cita|citazione
"""
"""The first argument that is there, or what is named as the text of a link."""
LAST: Final = """
lang|langue|langx|transl|transliteration|translit|wikt-lang|color|colour|font color|zh-tl|xlit
|tsl|native name|nativename
"""
SECOND: Final = """
audio|écouter|color text|legend|нп5|нп3|нп2|нп|не переведено 5|не переведено|iw
"""
ALL: Final = """
ship|hms|uss|unité|nombre|romaji|usd|heure
"""
LISTS: Final = """
ubl|unbulleted list|plain list|hlist|flat list|bulleted list|ulist|liste à puces|liste simple
|collapsible list
"""
CONVERT: Final = "convert|cvt|converter|convertir|单位换算"
CENTURY: Final = "s|-s|s-|siècle"
FRACTION: Final = "frac|fraction|sfrac|fract"
VALUE: Final = "val"
CIRCA: Final = "circa|c.|ca"
DATE: Final = """
start date|end date|start date and age|birth date|birth date and age|death date|death date and age|dts
|date|date-|film date|release date|dob|bda|dda|дата|geburtsdatum|fecha
|生年月日|生年月日と年齢|出生日期|出生日期和年龄
"""
UNSEEN: Final = """
efn|efn-ua|efn-lr|refn|refnest|sfn|sfnp|sfnm|sfn0|harvsp|r|rp|ref label|ref|note label|note|note tag
|notetag|notelist|reflist|fn|fnb|fnz|anmerkung|anchor|anker|ancre|якорь|sn|réf|cn|citation needed|fact
|clarify|who|when|where|why|by whom|which|dubious|flagicon|flagdeco|flag icon|reference page|snp
|multiref|coord|coordinates|clear|clr|cite|doi|defaultsort|displaytitle|increase|decrease|steady
|imdb name|imdb title|commons category|authority control|multiple image|прим|кто|когда|где|הערה
|שובר שורות|אנ|ملاحظة|شرح|هامش|หมายเหตุ|टिप्पणी|脚注|注|注釈|註
"""
"""Notes, anchors, icons and what stands at the foot of a page: their argument is not what is seen."""
INFOBOX: Final = """
infobox|info box|taxobox|geobox|speciesbox|drugbox|chembox|starbox|infoboks|infokutija|infopolje
|infotaula|infokast|infocaixa|infopudełko|tietolaatikko|faktamall|faktaboks|bilgi kutusu|kotak info
|thông tin|карточка|картка|картичка|инфокутија|таксон|πληροφορίες|ინფოდაფა|տեղեկաքարտ|صندوق معلومات
|جعبه|خانہ معلومات|基礎情報|信息框|資訊框|信息欄|資訊欄|정보상자
|ज्ञानसन्दूक|तथ्यछक|তথ্যছক|กล่องข้อมูล|personendaten|tassobox
"""
"""What the name of an infobox has in it."""
INFOBOX_START: Final = "ficha|carte|bio"
"""Its first word."""


def listed(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split("|"))
