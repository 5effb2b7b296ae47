"""Which passwords are among the first to be tried.

Recognised by what they are made of, not by a list: at most two well-known words, names or keyboard
walks with the digits and signs people put around them. A list is beaten by adding `1!`.
"""

import re
import string
import unicodedata
from functools import cache
from typing import Final

DIGITS_MAX: Final = 10  # a password of digits alone is a date, a phone number or a PIN
PIECES_MAX: Final = 4  # two words or walks, and a decoration on each side
MEANINGFUL_MAX: Final = 2
WALK_MIN: Final = 3

_LEETS: Final = (
    str.maketrans("013457@$!", "oieastasi"),
    str.maketrans("01345789@$!", "oleastbgasi"),
)
_ROWS: Final = (
    "01234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "qwertyuiop[]",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "!@#$%^&*()",
    '!"§$%&/()=',
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1qazxsw23edcvfr45tgbnhy67ujm",
    "zaq12wsxcde34rfvbgt56yhn",
    "qazwsxedcrfvtgbyhnujmikolp",
    "qweasdzxcrtyfghvbnuiojkl",
    "q1w2e3r4t5y6u7i8o9p0",
    "1q2w3e4r5t6y7u8i9o0p",
    "a1b2c3d4e5f6g7h8i9j0",
    "1a2b3c4d5e6f7g8h9i0j",
    "a1s2d3f4g5h6j7k8l9",
    "147258369",
    "789456123",
    "159357",
    "963852741",
    "112233445566778899",
    "aabbccddeeff",
)
_WALKS: Final = _ROWS + tuple(row[::-1] for row in _ROWS)

_COMMON: Final = """
    password passwort passwords passwd passw pass mypass mypassword motdepasse contrasena parola
    senha heslo haslo salasana wachtwoord mima lozinka sifre adgangskode pa55word pa55w0rd letmein
    welcome willkommen bienvenue benvenuto bienvenido hello hallo hola bonjour ciao salut iloveyou
    iloveu ily loveyou love lover lovely loveme lovers myspace mylove iloveme ilove teamo tequiero
    jetaime tiamo amor amore amour liebe schatz tresor cheri sunshine princess prinzessin princesa
    princesse dragon monkey football fussball futbol baseball basketball basket softball
    volleyball soccer hockey rugby tennis cricket golf golfer boxing master shadow superman batman
    spiderman ironman hulk wolverine deadpool pokemon pikachu naruto sasuke starwars startrek
    skywalker darthvader yoda matrix trinity neo hobbit gandalf merlin harrypotter potter snoopy
    garfield scooby scoobydoo mickey minnie donald disney tigger bambi tinkerbell hellokitty kitty
    barbie superstar rockstar megastar trustno trustnoone whatever nothing something anything
    nopass nopassword idontknow forgot secret secrets private qwerty qwertz azerty dvorak asdf
    zxcv qwer admin administrator administrateur adm root toor user users username guest test
    testing tester tests testtest demo sample example temp temporary default changeme changeit
    change login logon signin access accounts account manager support service system server
    servers network internet computer keyboard hardware software windows microsoft linux ubuntu
    debian google gmail yahoo hotmail facebook twitter instagram youtube amazon paypal ebay
    netflix spotify linkedin samsung nokia motorola huawei xiaomi iphone android apple macbook
    oracle mysql database postgres cisco router wifi wireless intel nvidia xbox playstation
    nintendo minecraft fortnite roblox callofduty warcraft starcraft counterstrike zelda mario
    sonic gamer player gaming summer sommer winter spring fruhling autumn herbst verano ete hiver
    january february march april may june july august september october november december januar
    februar maerz mai juni juli oktober dezember monday tuesday wednesday thursday friday saturday
    sunday montag sonntag today tomorrow yesterday forever always never michael jennifer jessica
    ashley charlie andrew thomas daniel jordan hunter matthew anthony nicole amanda michelle
    robert justin joshua william richard joseph david john johnny james brian kevin steven stephen
    george edward patrick peter paul mark martin marcus alex alexander alexandra alexis brandon
    tyler austin dylan jason jeremy ryan nathan benjamin samuel samantha sarah elizabeth victoria
    stephanie melissa heather rebecca rachel laura lauren danielle vanessa natalie natasha jasmine
    crystal angela angelica andrea maria marie mariana carolina carlos antonio francisco fernando
    alejandro ricardo roberto diego miguel jesus christ jesuschrist juan jose luis pedro pablo
    sophie sophia isabella olivia emily emma chloe hannah charlotte max lukas stefan andreas
    sebastian dominik claudia sabine killer pepper ginger buster maggie bailey sammy lucky rocky
    harley cooper molly buddy duke bella coco oscar rusty smokey sparky shelby snickers oreo
    pumpkin peanut cookie cookies cheese chocolate banana orange apples cherry strawberry peaches
    mango lemon coffee bubbles candy sweet sweety sweetie sugar honey cupcake muffin pizza burger
    chicken hotdog beer whiskey vodka marlboro flower flowers butterfly rose roses daisy lily
    sunflower rainbow moonlight starlight midnight diamond silver golden purple yellow green black
    white blue red pink angel angels baby babygirl babyboy babydoll family friends friend mother
    father mommy daddy mama papa sister brother girl boy girls boys cutie hottie sexy sexygirl
    sexyboy fuckyou fuckoff fuck asshole bitch biteme penis
    bigboy bigdaddy happy smile smiley money cash dollar million millionaire lottery
    casino poker mustang ferrari porsche mercedes corvette camaro chevy ford toyota honda yamaha
    suzuki kawasaki ducati lamborghini bmw audi subaru nissan yankees cowboys eagles lakers bulls
    raiders steelers packers patriots broncos redsox giants dodgers liverpool arsenal chelsea
    everton manchester united manutd mancity tottenham barcelona barca realmadrid madrid juventus
    inter milan bayern dortmund schalke celtic rangers benfica america england germany deutschland
    france london paris berlin newyork california florida texas chicago boston dallas denver
    phoenix canada mexico brasil brazil argentina china india australia japan tokyo beijing
    shanghai hongkong taiwan taipei russia moscow tiger tigers lion lions panther eagle falcon
    wolf wolves bear bears horse horses dolphin dolphins turtle rabbit bunny puppy kitten cat dog
    doggie fish shark spider snake unicorn dragons monster demon devil satan lucifer vampire
    zombie ninja samurai pirate wizard warrior knight king queen prince legend hero power metal
    metallica slipknot nirvana eminem beatles rocknroll guitar music dance dancer hiphop rapper
    reggae bobmarley marley freedom liberty peace hope faith grace blessed heaven jesusislord
    godisgood god number one two three first security secure safety pepsi cocacola sunshines
    thunder lightning storm fire ice water ocean star stars moon sun sky space galaxy trust
    nicholas maverick gunner ranger soldier sniper marine army navy airforce asd zxc qaz wsx edc
    qwe abc xyz xxx christian jonathan jackson johnson smith world top friendship familia blink182
    drowssap now open sesame opensesame soleil doudou flamengo napoli galatasaray fenerbahce
    besiktas matkhau jakarta sayang bismillah allah pakistan krishna ganesh bond jamesbond agent
    mom dad ncc1701 thx1138 rush2112 qq miaosha seckill flashsale shop shopping sale woaini woaiwo
    nihao aini wang zhang li zhao my me you the is i a im iam am
    """
_WORDS: Final = frozenset(_COMMON.split())
_PLAIN: Final = re.compile(r"[0-9]{1,4}|(19|20)[0-9]{6}|[0-3]?[0-9][01]?[0-9](19|20)?[0-9]{2}")
_SIGNS: Final = re.compile(r"[ -/:-@\[-`{-~]{1,4}")
_DECORATION: Final = "0123456789" + string.punctuation + " "
_FILLERS: Final = frozenset({"my", "me", "you", "the", "is", "i", "a", "im", "iam", "am"})


def is_guessable(password: str, own: tuple[str, ...] = ()) -> bool:
    """Would somebody who tries the usual ones first come to this password soon?

    Args:
        own: the buyer's e-mail address and name: as easy as any word.
    """
    low = _bare(password)
    if len(set(low)) < 4 or _repeats(low):
        return True
    if low.isdigit() and len(low) <= DIGITS_MAX:
        return True
    if any(low in walk for walk in _WALKS):
        return True
    words = frozenset(filter(None, _own_words(own)))
    core = low.strip(_DECORATION)
    spelled = {text.translate(table) for text in (low, core) for table in _LEETS}
    return any(_splits(text, words) for text in {low, *spelled} if text)


def _bare(text: str) -> str:
    """In lower case, Latin letters without their accents."""
    parts = unicodedata.normalize("NFKD", text.lower())
    return "".join(part for part in parts if not unicodedata.combining(part))


def _own_words(own: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    for text in own:
        low = _bare(text)
        found |= {low, low.replace(" ", ""), low.partition("@")[0]}
    return {word for word in found if len(word) >= WALK_MIN}


def _splits(text: str, own: frozenset[str]) -> bool:
    """Is the whole of it few enough pieces of the kinds that are tried first?"""

    @cache
    def rest(start: int, pieces: int, meaningful: int) -> bool:
        if start == len(text):
            return True
        if pieces == 0:
            return False
        for end in range(len(text), start, -1):
            weight = _weight(text[start:end], own)
            if weight is not None and weight <= meaningful:
                left = pieces - (text[start:end] not in _FILLERS)
                if rest(end, left, meaningful - weight):
                    return True
        return False

    return rest(0, PIECES_MAX, MEANINGFUL_MAX)


def _weight(piece: str, own: frozenset[str]) -> int | None:
    """1 for a word or a walk, 0 for a decoration or a filler, None for anything else."""
    if piece in _FILLERS or _SIGNS.fullmatch(piece) or _PLAIN.fullmatch(piece):
        return 0
    if piece in _WORDS or piece in own:
        return 1
    if len(piece) >= WALK_MIN and len(set(piece)) == 1 and piece.isascii():
        return 0
    if len(piece) >= WALK_MIN and any(piece in walk for walk in _WALKS):
        return 1
    return None


def _repeats(text: str) -> bool:
    """A short piece over and over: abcabcabc, or a word twice: passwordpassword."""
    at = (text + text).find(text, 1)
    return 0 < at < len(text) and (at <= 5 or text[:at] in _WORDS)
