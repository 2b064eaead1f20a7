"""What languages are called in English, for `in_language.name`.

A table, and not what the wikis say (`siprop=languages` with `siinlanguagecode=en`): that is 29 kB from each
wiki for one name, and in English only where the wiki has the extension CLDR. The codes are those that
MediaWiki knows (includes/languages/data/Names.php) and those of Wikimedia's newer wikis; the names are
CLDR's (45), and for the codes that CLDR lacks what Wikimedia's wikis call them.
"""

from collections.abc import Mapping
from typing import Final

_TABLE: Final = """\
aa=Afar; ab=Abkhazian; abs=Ambonese Malay; ace=Acehnese; ady=Adyghe; aeb=Tunisian Arabic; af=Afrikaans;
ak=Akan; aln=Gheg Albanian; als=Alemannic; alt=Southern Altai; am=Amharic; ami=Amis; an=Aragonese;
ang=Old English; ann=Obolo; anp=Angika; ar=Arabic; arc=Aramaic; arn=Mapuche; arq=Algerian Arabic;
ary=Moroccan Arabic; arz=Egyptian Arabic; as=Assamese; ase=American Sign Language; ast=Asturian;
atj=Atikamekw; av=Avaric; avk=Kotava; awa=Awadhi; ay=Aymara; az=Azerbaijani; azb=South Azerbaijani;
ba=Bashkir; ban=Balinese; bar=Bavarian; bat-smg=Samogitian; bbc=Batak Toba; bcc=Southern Balochi;
bci=Baoulé; bcl=Central Bikol; bdr=West Coast Bajau; be=Belarusian;
be-tarask=Belarusian (Taraškievica orthography); be-x-old=Belarusian (Taraškievica orthography);
bew=Betawi; bg=Bulgarian; bgn=Western Balochi; bh=Bhojpuri; bho=Bhojpuri; bi=Bislama; bjn=Banjar; blk=Pa'O;
bm=Bambara; bn=Bangla; bo=Tibetan; bpy=Bishnupriya; bqi=Bakhtiari; br=Breton; brh=Brahui; bs=Bosnian;
btm=Batak Mandailing; bto=Rinconada Bikol; bug=Buginese; bxr=Russia Buriat; ca=Catalan; cbk-zam=Chavacano;
cdo=Min Dong Chinese; ce=Chechen; ceb=Cebuano; ch=Chamorro; cho=Choctaw; chr=Cherokee; chy=Cheyenne;
ckb=Central Kurdish; co=Corsican; cps=Capiznon; cr=Cree; crh=Crimean Tatar; cs=Czech; csb=Kashubian;
cu=Church Slavic; cv=Chuvash; cy=Welsh; da=Danish; dag=Dagbani; de=German; de-at=Austrian German;
de-ch=Swiss High German; de-formal=German (formal address); dga=Dagaare; din=Dinka; diq=Zazaki;
dsb=Lower Sorbian; dtp=Central Dusun; dty=Doteli; dv=Divehi; dz=Dzongkha; ee=Ewe; egl=Emilian; el=Greek;
eml=Emiliano-Romagnolo; en=English; en-ca=Canadian English; en-gb=British English; eo=Esperanto;
es=Spanish; es-419=Latin American Spanish; es-formal=Spanish (formal address); et=Estonian; eu=Basque;
ext=Extremaduran; fa=Persian; fat=Fanti; ff=Fula; fi=Finnish; fit=Tornedalen Finnish; fiu-vro=Võro;
fj=Fijian; fo=Faroese; fon=Fon; fr=French; frc=Cajun French; frp=Arpitan; frr=Northern Frisian;
fur=Friulian; fy=Western Frisian; ga=Irish; gaa=Ga; gag=Gagauz; gan=Gan Chinese; gcr=Guianan Creole;
gd=Scottish Gaelic; gl=Galician; gld=Nanai; glk=Gilaki; gn=Guarani; gom=Goan Konkani; gor=Gorontalo;
got=Gothic; gpe=Ghanaian Pidgin; grc=Ancient Greek; gsw=Swiss German; gu=Gujarati; guc=Wayuu; gur=Frafra;
guw=Gun; gv=Manx; ha=Hausa; hak=Hakka Chinese; haw=Hawaiian; he=Hebrew; hi=Hindi; hif=Fiji Hindi;
hil=Hiligaynon; ho=Hiri Motu; hr=Croatian; hrx=Hunsrik; hsb=Upper Sorbian; hsn=Xiang Chinese;
ht=Haitian Creole; hu=Hungarian; hu-formal=Hungarian (formal address); hy=Armenian; hyw=Western Armenian;
hz=Herero; ia=Interlingua; iba=Iban; id=Indonesian; ie=Interlingue; ig=Igbo; igl=Igala; ii=Sichuan Yi;
ik=Inupiaq; ike-cans=Eastern Canadian Inuktitut (syllabics);
ike-latn=Eastern Canadian Inuktitut (Latin script); ilo=Iloko; inh=Ingush; io=Ido; is=Icelandic;
it=Italian; iu=Inuktitut; ja=Japanese; jam=Jamaican Creole English; jbo=Lojban; jut=Jutish; jv=Javanese;
ka=Georgian; kaa=Kara-Kalpak; kab=Kabyle; kbd=Kabardian; kbp=Kabiye; kcg=Tyap; kea=Kabuverdianu; kg=Kongo;
kge=Komering; khw=Khowar; ki=Kikuyu; kiu=Kirmanjki; kj=Kuanyama; kjp=Eastern Pwo; kk=Kazakh;
kk-cn=Kazakh (China); kk-kz=Kazakh (Kazakhstan); kk-tr=Kazakh (Turkey); kl=Kalaallisut; km=Khmer;
kn=Kannada; knc=Central Kanuri; ko=Korean; ko-kp=Korean (North Korea); koi=Komi-Permyak; kr=Kanuri;
krc=Karachay-Balkar; kri=Krio; krj=Kinaray-a; krl=Karelian; ks=Kashmiri; ksh=Colognian; ksw=S'gaw Karen;
ku=Kurdish; kum=Kumyk; kus=Kusaal; kv=Komi; kw=Cornish; ky=Kyrgyz; la=Latin; lad=Ladino; lb=Luxembourgish;
lbe=Lak; lez=Lezghian; lfn=Lingua Franca Nova; lg=Ganda; li=Limburgish; lij=Ligurian; liv=Livonian;
lki=Laki; lld=Ladin; lmo=Lombard; ln=Lingala; lo=Lao; loz=Lozi; lrc=Northern Luri; lt=Lithuanian;
ltg=Latgalian; lus=Mizo; luz=Southern Luri; lv=Latvian; lzh=Literary Chinese; lzz=Laz; mad=Madurese;
mai=Maithili; map-bms=Banyumasan; mdf=Moksha; mg=Malagasy; mh=Marshallese; mhr=Eastern Mari; mi=Māori;
min=Minangkabau; mk=Macedonian; ml=Malayalam; mn=Mongolian; mni=Manipuri; mnw=Mon; mo=Moldovan; mos=Mossi;
mr=Marathi; mrh=Mara; mrj=Western Mari; ms=Malay; ms-arab=Malay (Jawi script); mt=Maltese;
mul=Multiple languages; mus=Muscogee; mwl=Mirandese; my=Burmese; myv=Erzya; mzn=Mazanderani; na=Nauru;
nah=Nahuatl; nan=Min Nan Chinese; nap=Neapolitan; nb=Norwegian Bokmål; nds=Low German; nds-nl=Low Saxon;
ne=Nepali; new=Newari; ng=Ndonga; nia=Nias; niu=Niuean; nl=Dutch; nl-informal=Dutch (informal address);
nmz=Nawdm; nn=Norwegian Nynorsk; no=Norwegian; nod=Northern Thai; nov=Novial; nqo=N'Ko; nrm=Norman;
nso=Northern Sotho; nup=Nupe; nv=Navajo; ny=Nyanja; nyn=Nyankole; nys=Nyungar; oc=Occitan;
ojb=Northwestern Ojibwa; olo=Livvi-Karelian; om=Oromo; or=Odia; os=Ossetic; pa=Punjabi; pag=Pangasinan;
pam=Pampanga; pap=Papiamento; pcd=Picard; pcm=Nigerian Pidgin; pdc=Pennsylvania German; pdt=Plautdietsch;
pfl=Palatine German; pi=Pali; pih=Norfuk / Pitkern; pl=Polish; pms=Piedmontese; pnb=Western Punjabi;
pnt=Pontic; prg=Prussian; ps=Pashto; pt=Portuguese; pt-br=Brazilian Portuguese; pwn=Paiwan; qu=Quechua;
qug=Chimborazo Highland Quichua; rgn=Romagnol; rif=Riffian; rm=Romansh; rmc=Carpathian Romani;
rmy=Vlax Romani; rn=Rundi; ro=Romanian; roa-rup=Aromanian; roa-tara=Tarantino; rsk=Pannonian Rusyn;
ru=Russian; rue=Rusyn; rup=Aromanian; ruq=Megleno-Romanian; rw=Kinyarwanda; ryu=Okinawan; sa=Sanskrit;
sah=Yakut; sat=Santali; sc=Sardinian; scn=Sicilian; sco=Scots; sd=Sindhi; sdc=Sassarese Sardinian;
sdh=Southern Kurdish; se=Northern Sami; se-fi=Northern Sami (Finland); se-no=Northern Sami (Norway);
se-se=Northern Sami (Sweden); sei=Seri; ses=Koyraboro Senni; sg=Sango; sgs=Samogitian; sh=Serbo-Croatian;
shi=Tachelhit; shn=Shan; shy=Shawiya; si=Sinhala; simple=Simple English; sjd=Kildin Sami; sje=Pite Sami;
sk=Slovak; skr=Saraiki; sl=Slovenian; sli=Lower Silesian; sm=Samoan; sma=Southern Sami; smn=Inari Sami;
sms=Skolt Sami; sn=Shona; so=Somali; sq=Albanian; sr=Serbian; sr-ec=Serbian (Cyrillic script);
sr-el=Serbian (Latin script); srn=Sranan Tongo; sro=Campidanese Sardinian; ss=Swati; st=Southern Sotho;
stq=Saterland Frisian; sty=Siberian Tatar; su=Sundanese; sv=Swedish; sw=Swahili; syl=Sylheti; szl=Silesian;
szy=Sakizaya; ta=Tamil; tay=Atayal; tcy=Tulu; tdd=Tai Nuea; te=Telugu; tet=Tetum; tg=Tajik; th=Thai;
ti=Tigrinya; tig=Tigre; tk=Turkmen; tl=Tagalog; tly=Talysh; tn=Tswana; to=Tongan; tok=Toki Pona;
tpi=Tok Pisin; tr=Turkish; tru=Turoyo; trv=Taroko; ts=Tsonga; tt=Tatar; tum=Tumbuka; tw=Twi; ty=Tahitian;
tyv=Tuvinian; tzm=Central Atlas Tamazight; udm=Udmurt; ug=Uyghur; uk=Ukrainian; ur=Urdu; uz=Uzbek;
ve=Venda; vec=Venetian; vep=Veps; vi=Vietnamese; vls=West Flemish; vmf=Main-Franconian; vmw=Makhuwa;
vo=Volapük; vot=Votic; vro=Võro; wa=Walloon; war=Waray; wls=Wallisian; wo=Wolof; wuu=Wu Chinese;
xal=Kalmyk; xh=Xhosa; xmf=Mingrelian; xsy=Saisiyat; yi=Yiddish; yo=Yoruba; yrl=Nheengatu; yue=Cantonese;
za=Zhuang; zea=Zeelandic; zgh=Standard Moroccan Tamazight; zh=Chinese; zh-classical=Literary Chinese;
zh-cn=Chinese (China); zh-hans=Simplified Chinese; zh-hant=Traditional Chinese; zh-hk=Chinese (Hong Kong);
zh-min-nan=Min Nan Chinese; zh-mo=Chinese (Macau); zh-my=Chinese (Malaysia); zh-sg=Chinese (Singapore);
zh-tw=Chinese (Taiwan); zh-yue=Cantonese; zu=Zulu
"""
NAMES: Final[Mapping[str, str]] = dict(
    entry.strip().split("=", 1) for entry in _TABLE.replace("\n", " ").split(";") if entry.strip()
)
SCRIPTS: Final[Mapping[str, str]] = {
    "arab": "Arabic script",
    "bali": "Balinese script",
    "cans": "Canadian syllabics",
    "cyrl": "Cyrillic script",
    "deva": "Devanagari script",
    "hans": "simplified",
    "hant": "traditional",
    "latn": "Latin script",
    "tfng": "Tifinagh script",
}
"""Of codes as `kk-cyrl`, whose language alone is in the table."""


def language_name(code: str) -> str:
    """`Hebrew` for `he`; "" where the table has none. Raises nothing."""
    code = code.lower()
    if name := NAMES.get(code):
        return name
    language, _, script = code.rpartition("-")
    if language in NAMES and script in SCRIPTS:
        return f"{NAMES[language]} ({SCRIPTS[script]})"
    return ""
