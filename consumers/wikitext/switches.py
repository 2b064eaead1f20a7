"""Words between `__` that switch something of a page and are not seen, in all languages of MediaWiki.

Of its languages/messages (1.39), with those of extensions that Wikimedia's wikis have; in lower case, as
case doesn't count. Only those in ASCII, for a word with other letters is none of a program's.
"""

from typing import Final

from consumers.wikitext.names import listed

_WORDS: Final = """
aabaw|abschnitte_nicht_bearbeiten|alaosalingita|alltidinnhaldsliste|alltidinnholdsliste|amarakitahukchaychu
|amasamiqtahukchaychu|amasutitahukchaychu|amaunanchaychu|ancaminarstatico|archivedtalk|ascundecat
|aucunegalerie|aucunetdm|aucunindex|aucunliennouvellesection|aucunsommaire|begalerijos|beredagsekc|beturin
|bez_galerije|bez_indeksa|bez_izmena|bez_izmjena|bez_nove_veze_odeljka|bezcc|bezedycjisekcji|bezgalerie
|bezgalerii|bezgalerije|bezindeksa|bezindeksiranja|bezizmena|bezizmjena|bezkazala|bezkn|bezkonverzenadpisu
|bezkonverzeobsahu|bezks|beznovevezeodeljka|bezobsahu|bezpretvaranjanaslova|bezsadrzaja|bezspisu|beztc
|brezgalerije|brezkazala|brezkazalavsebine|brezurejanjarazdelkov|capdegalaria|capdetaula|capgaleria|capindex
|captaula|catamagada|catcachee|catcudd|categoriaoculta|catoculta|cuprins|cyswlltadrannewydd|daftarisi|dasi
|dimadrangolygu|dimgolyguadran|dimrhestrgynnwys|dimrhg|dimtaflencynnwys|disambig|doldkat|dwingio
|ebdagallerija|ebdakk|ebdakonverturkontenut|ebdakonverturtitlu|ebdakt|ebdasezzjonimodifika|ebdawerrej
|eiosiomuokkausta|eisisluett|emsafn|endeks|endeksyok|enhallt|esten|estenzaruret|ettiq|etyuq
|expectunusedcategory|expectunusedtemplate|expectwithoutscans|faraconvertirecontinut|faraconvertiretitlu
|faracuprins|faraeditsectiune|faragalerie|faraindex|faralegaturasectiunenoua|forcarsumario|forcartdc
|forceerinhoud|forcersommaire|forcertdm|forcetoc|forseeronderwarpen|forteazacuprins|fortuindekson|forzar_tdc
|forzartdc|forzartoc|galereyayoq|galeriita|ganta|gantt|geen_galerij|geengalery|geenic|geenindeks|geenindex
|geeninhoud|geeninhoudconversie|geenio|geennieuwesectielink|geennieuwkopjekoppeling|geennieuwkopjeverwijzing
|geennuweafdeling|geenpaginanaamconversie|geentc|geentitelconversie|gienbewarkseksie|giengalderieje
|giengallerieje|gienik|gienindex|gieninhoudkonversie|gienniejkopjenverwiezing|gienonderwarpen
|gientitelkonversie|gientk|hakukonekielto|hebmenegva|hiddencat|ichidagilar|ichidagilari|ichidagilarmajburiy
|ichidagilaryoq|iigalleriija|iirievdaditoasi|iisis|iisisdoallu|indeks|indekser|indeksi|indeksiga|indeksiraj
|indeksiranje|indeksita|indekso|indeksu|indeksuj|indeksyoq|index|indexar|indexera|indexieren|indexovat
|indice|indizieren|ingabolkendring|ingabolkredigering|ingainnhaldsliste|ingendelendring|ingenindeksering
|ingeninnholdsfortegnelse|ingeninnholdskonvertering|ingeninnholdsliste|ingennyseksjonslenke
|ingenseksjonsredigering|ingentittelkonvertering|ingetgalleri|inhaltsverzeichnis
|inhaltsverzeichnis_erzwingen|inholtverteken|inhoud|inhoud_dwingen|inkjegalleri|innhaldsliste
|innholdsfortegnelse|innholdsliste|inot|inotdwengi|inteindexera|interedigerasektion|intetgalleri
|jasirinsanat|jogaleri|joredaktimseksioni|jotp|kasxitakategorio|kategoriaukryta|kategoriefshehur
|kategoritersembunyi|katsem|kazalo|keeninholtverteken|kein_ihv|kein_index|kein_inhaltsverzeichnis
|kein_jallerie|kein_neuer_abschnittslink|kein_plus_link|keine_galerie|keine_inhaltskonvertierung
|keine_titelkonvertierung|keinegalerie|keininhaltsverzeichnis|klasskudhys|lahat|lahatra|lans
|legaturasectiunenoua|legyentj|liennouvellesection|ligacaodenovasecao|ligiloalnovasekcio|linkdenovasecao
|linknovesekcije|linknovogodlomka|linknowejsekcji|mabaw|matjoq|mazmundatqizw|mazmuni|mazmunsiz|menegva|mqizw
|msiz|mzmn|nakatagongkat|naoeditarsecao|naoindexar|naverok|naveroktune|neindeksiraj|neindekso|neindeksu
|neindexovat|nekonvertuenhavon|nekonvertutitolon|neuer_abschnittslink|newsectionlink|nicht_indexieren
|nicht_indizieren|nieindeksuj|niejeseksieverwiezing|nietbewerkbaresectie|nieuwesectiekoppeling
|nieuwesectielink|nincsindex|nincsszerk|nincstj|niona_galerie|nirdasi|nirdeks|nirgal|nirkodul|nirkosi
|nirprababa|nirsuba|nnsl|nocc|nocontentconvert|noconvertircontenido|noconvertirtitulo|noct|noeditarseccion
|noeditsection|nogaleria|nogallery|noglobal|noindex|noindexar|noindice|noinot|nokenkiskaki|nonewsectionlink
|nonindexar|nopikturama|notalk|notaula|notc|notdc|notitleconvert|notoc|nova_veza_odeljka|novavezaodeljka
|novincularanuevaseccion|noviodlomakpoveznica|nyseksjonslenke|obsah|onderwarpen|pagaleri|pakasqakatiguriya
|paksadaftarisi|paksadasi|paredaktimpjese|pascapdesomari|pascapdetdm|patp|peidetudkat|pengalihanstatik
|pengalihanstatis|permanente_weiterleitung|petik|petis|piiloluokka|plus_link|poglavje|prababa
|pranalabagianbaru|qalereyayox|qsiz|redireccioestatica|redireccionestatica|redirecionamentoestatico
|redirectionarestatica|redirectionstatique|rejtettkat|resum|riindirizzstatiku|rikchasuyunnaq|sadrzaj
|sakrivenakat|sakrivenakategorija|sanscc|sansconversioncontenu|sansconversiontitre|sansct|seccionnoneditabla
|seccionoeditable|sectionnoneditable|semcc|semconverterconteudo|semconvertertitulo|semct|semeditarsecao
|semgaleria|semligacaodenovasecao|semlinkdenovasecao|semtdc|senbildaro|sencdc|sencdt|sengalerio
|senligiloalnovasekcio|senredaktisekciojn|senredaktisekcion|sersiq|sforzawerrej|sin_tdc|sisdoallu
|sisluettpakotus|sisukord|sisukordees|sisukorrata|skjultkategori|skritakategorija|skrivenakat
|skrivenakategorija|slans|slns|somari|sommaire|spis|staotiesedeurverwiezing|staticnapreusmeritev
|staticredirect|statikaalidirekto|statischedoorverwijzing|statischeredirect|statiskomdirigering
|statisticnopreusmjerenje|statistomdirigering|sumario|tahriryoq|tanpadaftarisi|tanpagaleri|tanpaindeks
|tanpakonversiisi|tanpakonversijudul|tanpapranalabagianbaru|tanpasuntinganbagian|tartiblashyoq|tatjoq|taula
|tdc|tdm|tereonylahatra|tiyaqllapusapuna|toc|tsyasianagallery|tsyasianalahatra|tsyazoovaina|turinys
|tvinginnholdsfortegnelse|unanchay|uuealaosalingita|uuealaosalink|verborgencat|vershtoche_saachjrupp
|versteckte_kategorie|verstoppt_kategorie|vincularanuevaseccion|vsilikazalovsebine|wartungskategorie|werrej
|wiesinholtverteken|yashirinturkum|yuyarina|yuyarinannaq|yuyarinataatipachiy|zespisem
"""
_ALL: Final = frozenset(listed(_WORDS))


def is_switch(word: str) -> bool:
    """`__index__` is Python's; this one has to be in capitals."""
    return not word.isascii() or (word.casefold() in _ALL and word != "index")
