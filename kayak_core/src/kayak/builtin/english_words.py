"""Two short lists of frequent English words: the only language knowledge of the `hashing` encoder.

A stateless encoder cannot count in how many documents a word occurs, so these lists stand in for that count. They
hold general English only (base forms; the encoder strips regular endings), no word of any subject.
"""

from __future__ import annotations

__all__ = ["COMMON_WORDS", "FUNCTION_WORDS"]

FUNCTION_WORDS = frozenset(
    """
a about above across after again against all along also although am among an and another any anybody anyone anything
are around as at be because been before behind being below beneath beside besides between beyond both but by can cannot
could did do does doing done down during each either else etc even ever every everybody everyone everything few for from
further had has have having he hence her here hers herself him himself his how however i if in indeed instead into is it
its itself just least less many may me might mine more moreover most much must my myself near neither never nevertheless
no nobody none nor not nothing now of off often on once one ones only onto or other others otherwise ought our ours
ourselves out over own per perhaps quite rather same shall she should since so some somebody someone something sometimes
somewhat still such than that the their theirs them themselves then there thereby therefore these they this those though
through throughout thus to together too toward towards under unless unlike until up upon us very via was we well were
what whatever when whenever where whereas wherever whether which whichever while who whoever whole whom whose why will
with within without would yet you your yours yourself yourselves
""".split()
)
"""Articles, pronouns, prepositions, conjunctions, auxiliaries, question words and adverbs that work like them."""

COMMON_WORDS = frozenset(
    """
able absence absent accept accord account achieve act action active activity actual add addition adequate adopt advance
advantage affect age aid aim allow almost alone already alternative always amount ancient answer appear application
apply approach appropriate approximate area argue argument arise arrange art article ask aspect assess assist associate
assume assumption attach attempt attention author available average avoid aware away back bad balance base basic basis
bear become beer begin behave behavior behaviour believe belong benefit best better big bit board book bottom box boy
break brief bring broad build building business busy buy calculate call capable car care carry case cause center central
centre century certain chance change character characteristic characterize cheap check child children choice choose
city claim class classify clean clear close code collect collection color combination combine come comment common
community company compare comparison complete complex component comprise concept concern conclude conclusion condition
conduct confirm connect connection consequence consider consist consistent constant construct contain content context
continue contrast contribute contribution control convert cool copy correct correspond cost count country couple course
cover create critical cross current customer cut daily damage danger dark data date day dead deal decide decision
decline decrease deep define definition degree demand demonstrate department depend derive describe description design
desire detail detect determine develop development device differ difference different difficult difficulty direct
direction disappear discover discuss discussion display distance distinct distinguish distribute divide document
dominant door doubt draw drive drop dry due early easy edge education effect effective efficient effort elect element
eliminate emphasis employ enable encourage end enhance enough ensure enter entire entry environment equal equivalent
error especially essential establish estimate evaluate evening event evidence exact examine example exceed except
exchange exclude exist existence expand expect expensive experience experiment experimental explain explanation explore
expose express extend extension extensive extent external extra extreme eye face fact factor fail failure fair fall
false familiar family famous far fast father favor feature feel field figure fill final find finding fine finish first
fit fix five flat follow food foot force foreign form formal former forward found four free frequent fresh friend front
full function fundamental future gain game gather general generate get girl give glass go goal good government gradual
great green ground group grow growth guide half hand handle happen happy hard head health hear heart heavy height help
high highlight history hold home hope hot hour house huge human hundred idea ideal identical identify identity ignore
illustrate image imagine immediate impact implement implication imply important improve improvement include income
increase independent indicate individual influence inform information initial inner input inside instance interest
internal interpret introduce investigate investigation involve issue item job join judge keep key kind king know
knowledge lack land language large last late latter law lay lead learn leave left legal length let letter level lie life
light like likely limit line link list listen literature little live local locate location long look lose loss lot love
low machine magazine main maintain major make man manage manner manufacture mark market mass match material matter
maximum mean meaning means meanwhile measure measurement mechanism meet member memory men mention mere message method
middle million mind minimum minor minute miss mix mode model moderate modern modify moment money month morning mother
motion mouth move movement multiple music name narrow nation national natural nature nearly necessary need negative new
news next nice night nine normal note notice novel number object objective observation observe obtain obvious occasion
occur offer office official old open operate operation opinion opportunity opposite option order ordinary organize
origin original output outside overall page paper parallel part partial participate particular pass past path pattern
pay peak people percent percentage perfect perform performance period permit person personal perspective phase
phenomena phenomenon physical pick picture piece place plan play please point police policy political poor popular
population position positive possess possibility possible potential power powerful practical practice precede precise
predict prediction prefer prepare presence present preserve press pretty prevent previous price primary principal
principle prior private probable probably problem procedure proceed process produce product production program
programme progress project promote proof proper property proportion propose protect prove provide public publish pull
purpose push put quality quantity question quick quiet quote radio raise random range rapid rare rate ratio reach react
read ready real realize really reason reasonable receive recent recognize recommend record red reduce reduction refer
reference reflect regard region regular relate relation relationship relative release relevant reliable rely remain
remark remove repeat replace reply report represent representative request require requirement research resource respect
respond response responsible rest restrict result retain return reveal review rich right rise risk road role room rough
round row rule run safe sale sample satisfy save say scale scene school science scientific scope season seat second
section secure see seek seem select selection sell send sense sensitive separate sequence series serious serve service
set seven several severe sex shape share sharp short show side sign significance significant similar simple simultaneous
single sister sit site situation six size skill sleep slight slow small smooth social society soft solid solution solve
son soon sort sound source south space speak special specific specify speed spend spread stable staff stage stand
standard start state statement station stay step stop store story straight strange strategy street strength strong
structure student study style subject subsequent substantial success successful sudden suffer sufficient suggest
suitable sum summary supply support suppose sure surface surround survey system table take talk task teach team
technique technology tell temporary ten tend term test text theory thing think third thought thousand three time tiny
title today tool top topic total touch tour town trade tradition traditional train transfer transform travel treat tree
trend trial trip trouble true try turn twice two type typical ultimate understand uniform unique unit universal unknown
update use useful user usual utilize valid valuable value variable variation variety various vary vast version vice view
visit visual vital voice volume wait walk wall want war watch water way weak week weight white wide widespread width
wife win wish woman wonder word work worker world worse worst worth write wrong year yellow yes yesterday young zero
accuracy accurate algorithm analyse analysis analytical analyze appearance arrangement assessment assumption axis causal
classification coefficient comparable comparative computation compute conclusive conventional correlate correlation
criteria criterion deduce demonstration dependence dependent determination diagram discovery dynamic effectiveness
elevate emerge equation evaluation examination expression facilitate feasible formulate formula framework gradient
hypothesis identification implicate independently induce inhibit initiate intermediate interval linear magnitude
mathematical mediate method methodology numerical occurrence optimal optimum outcome parameter predominant probability
proportional qualitative quantitative rapid regulate resolution respective role significance simulate simulation
specimen statistical subset sum systematic technical tendency theoretical treatment validate variance verify versus yield
""".split()
)
"""Frequent content words of general and expository English, in base form."""
