"""Two short lists of frequent English words: the only language knowledge of the `hashing` encoder.

A stateless encoder cannot count in how many documents a word occurs, so these lists stand in for that count. They
hold general English only (base forms; the encoder strips regular endings), no word of any subject.
"""

from __future__ import annotations

__all__ = ["COMMON_WORDS", "FUNCTION_WORDS"]

FUNCTION_WORDS = frozenset(
    """
a about above across after again against all along also although am among an and another any anybody anyone
anything are aren around as at be because been before behind being below beneath beside besides between
beyond both but by can cannot could couldn did didn do does doesn doing don done down during each either
else etc even ever every everybody everyone everything few for from further had hadn has hasn have haven
having he hence her here hers herself him himself his how however i if in indeed instead into is isn it its
itself just least less ll many may me might mine more moreover most much must my myself near neither never
nevertheless no nobody none nor not nothing now of off often on once one ones only onto or other others
otherwise ought our ours ourselves out over own per perhaps quite rather re s same shall she should shouldn
since so some somebody someone something sometimes somewhat still such than that the their theirs them
themselves then there thereby therefore these they this those though through throughout thus to together too
toward towards under unless unlike until up upon us ve very via was wasn we well were weren what whatever
when whenever where whereas wherever whether which whichever while who whoever whole whom whose why will
with within without would wouldn yet you your yours yourself yourselves
""".split()
)
"""Articles, pronouns, prepositions, conjunctions, auxiliaries, question words, adverbs that work like them, and what a
split at the apostrophe leaves of contractions."""

COMMON_WORDS = frozenset(
    """
able absence absent accept accord account accuracy accurate achieve act action active activity actual add
addition adequate adopt advance advantage affect age aid aim algorithm allow almost alone already
alternative always amount analyse analysis analytical analyze ancient answer appear appearance application
apply approach appropriate approximate area argue argument arise arrange arrangement art article ask aspect
assess assessment assist associate assume assumption attach attempt attention author available average avoid
aware away axis back bad balance base basic basis bear become beer begin behave behavior behaviour believe
belong benefit best better big bit board book bottom box boy break brief bring broad build building business
busy buy calculate call capable car care carry case causal cause center central centre century certain
chance change character characteristic characterize cheap check child children choice choose city claim
class classification classify clean clear close code coefficient collect collection color combination
combine come comment common community company comparable comparative compare comparison complete complex
component comprise computation compute concept concern conclude conclusion conclusive condition conduct
confirm connect connection consequence consider consist consistent constant construct contain content
context continue contrast contribute contribution control conventional convert cool copy correct correlate
correlation correspond cost count country couple course cover create criteria criterion critical cross
current customer cut daily damage danger dark data date day dead deal decide decision decline decrease
deduce deep define definition degree demand demonstrate demonstration department depend dependence dependent
derive describe description design desire detail detect determination determine develop development device
diagram differ difference different difficult difficulty direct direction disappear discover discovery
discuss discussion display distance distinct distinguish distribute divide document dominant door doubt draw
drive drop dry due dynamic early easy edge education effect effective effectiveness efficient effort elect
element elevate eliminate emerge emphasis employ enable encourage end enhance enough ensure enter entire
entry environment equal equation equivalent error especially essential establish estimate evaluate
evaluation evening event evidence exact examination examine example exceed except exchange exclude exist
existence expand expect expensive experience experiment experimental explain explanation explore expose
express expression extend extension extensive extent external extra extreme eye face facilitate fact factor
fail failure fair fall false familiar family famous far fast father favor feasible feature feel field figure
fill final find finding fine finish first fit five fix flat follow food foot force foreign form formal
former formula formulate forward found four framework free frequent fresh friend front full function
fundamental future gain game gather general generate get girl give glass go goal good government gradient
gradual great green ground group grow growth guide half hand handle happen happy hard head health hear heart
heavy height help high highlight history hold home hope hot hour house huge human hundred hypothesis idea
ideal identical identification identify identity ignore illustrate image imagine immediate impact implement
implicate implication imply important improve improvement include income increase independent independently
indicate individual induce influence inform information inhibit initial initiate inner input inside instance
interest intermediate internal interpret interval introduce investigate investigation involve issue item job
join judge keep key kind king know knowledge lack land language large last late latter law lay lead learn
leave left legal length let letter level lie life light like likely limit line linear link list listen
literature little live local locate location long look lose loss lot love low machine magazine magnitude
main maintain major make man manage manner manufacture mark market mass match material mathematical matter
maximum mean meaning means meanwhile measure measurement mechanism mediate meet member memory men mention
mere message method methodology middle million mind minimum minor minute miss mix mode model moderate modern
modify moment money month morning mother motion mouth move movement multiple music name narrow nation
national natural nature nearly necessary need negative new news next nice night nine normal note notice
novel number numerical object objective observation observe obtain obvious occasion occur occurrence offer
office official old open operate operation opinion opportunity opposite optimal optimum option order
ordinary organize origin original outcome output outside overall page paper parallel parameter part partial
participate particular pass past path pattern pay peak people percent percentage perfect perform performance
period permit person personal perspective phase phenomena phenomenon physical pick picture piece place plan
play please point police policy political poor popular population position positive possess possibility
possible potential power powerful practical practice precede precise predict prediction predominant prefer
prepare presence present preserve press pretty prevent previous price primary principal principle prior
private probability probable probably problem procedure proceed process produce product production program
programme progress project promote proof proper property proportion proportional propose protect prove
provide public publish pull purpose push put qualitative quality quantitative quantity question quick quiet
quote radio raise random range rapid rare rate ratio reach react read ready real realize really reason
reasonable receive recent recognize recommend record red reduce reduction refer reference reflect regard
region regular regulate relate relation relationship relative release relevant reliable rely remain remark
remove repeat replace reply report represent representative request require requirement research resolution
resource respect respective respond response responsible rest restrict result retain return reveal review
rich right rise risk road role room rough round row rule run safe sale sample satisfy save say scale scene
school science scientific scope season seat second section secure see seek seem select selection sell send
sense sensitive separate sequence series serious serve service set seven several severe sex shape share
sharp short show side sign significance significant similar simple simulate simulation simultaneous single
sister sit site situation six size skill sleep slight slow small smooth social society soft solid solution
solve son soon sort sound source south space speak special specific specify specimen speed spend spread
stable staff stage stand standard start state statement station statistical stay step stop store story
straight strange strategy street strength strong structure student study style subject subsequent subset
substantial success successful sudden suffer sufficient suggest suitable sum summary supply support suppose
sure surface surround survey system systematic table take talk task teach team technical technique
technology tell temporary ten tend tendency term test text theoretical theory thing think third thought
thousand three time tiny title today tool top topic total touch tour town trade tradition traditional train
transfer transform travel treat treatment tree trend trial trip trouble true try turn twice two type typical
ultimate understand uniform unique unit universal unknown update use useful user usual utilize valid
validate valuable value variable variance variation variety various vary vast verify version versus vice
view visit visual vital voice volume wait walk wall want war watch water way weak week weight white wide
widespread width wife win wish woman wonder word work worker world worse worst worth write wrong year yellow
yes yesterday yield young zero
""".split()
)
"""Frequent content words of general and expository English, in base form."""
