"""The texts of the random cases: a seeded generator that tests/text_cases/mod.rs repeats in Rust, so files hold results only."""

MASK = (1 << 64) - 1

WORDS = (
    # Latin words, with the suffixes that a stemmer sees
    "the of and a to in is was he for it with as his on be at by I had not are but from or have an they which one you were "
    "her all she there would their we him been has when who will more no if out so said what up its about into than them "
    "can only other new some could time these two may then do first any my now such like our over man me even most made "
    "after also did many before must through years running runs runner ran happily happiness happy relational conditional "
    "rationally valencies hesitancy digitizer conformably radically differently vileness analogously operators feudalism "
    "decisiveness hopefulness callousness formality sensitivity triplicate formative formalized electricity electrical "
    "hopeful goodness revival allowance inference airliner gyroscopic adjustable defensible irritant replacement adjusted "
    "dependent adoption homologous communism activate angularity effective probate rate cease controlled rolling dying "
    "skies flies dies tying news innings proceeded caresses ponies cats agreed plastered motoring conflated troubled sized "
    "hopping tanned falling hissing fizzed failing filing sky The THE Dog DOG ran, ran. man; man: (man) [see] {x} \"q\" "
    "don't It's John's 'tis e.g. U.S. Mr. 3.14 1,000 1,000.5 2019-20 9- -9 x-ray well-known ... -- - , . ! ? ?! .5 5. $5 "
    "100% a/b a_b #tag @user C++ c# http://a.b/c?d=e&f=g &amp; &lt;b&gt; &quot;quoted&quot; &amp;lt; &apos; <skipped> & \\ ~ ^ "
    # the rest of the world
    "Привет, мир ЁЖИК ёжик собака собаки кошка «да» нет. ΟΔΟΣ οδός ΣΑΣ. Straße STRASSE ẞ ß İstanbul ISI ısı 273K Ångström "
    "café cafe\u0301 CAFE\u0301 Z\u0337\u0351a naïve ﬁn ǅ 你好，世界。 机器学习 学习 3，000 １２３ ＡＢＣ ！？ こんにちは テスト・ケース 「引用」 ｶﾀｶﾅ 한국어 "
    "사람이 مرحبا بالعالم ؟ ١٢٣٫٤٥ ١٬٠٠٠ שלום। नमस्ते हिन्दी। สวัสดี 🙂 👩\u200d👩\u200d👧 🇩🇪 ✂\ufe0f ½ ² Ⅻ ① Ⓐ €5 ±3 ≤ “quoted” „so“ ’s – — … "
    "a\u200bb \ufeffx so\u00adft ﷺ 㐀 ㊤ ⺀ 𠀀 𝔘𝔫 ＇ ． ， ； 、 。"
).split(" ")

GAPS = [" "] * 12 + [
    "  ", "\n", "\n", "\n\n", "-\n", "\n-", "\t", "\r\n", "", ", ", ". ", " - ",
    "\u00a0", "\u3000", "\u2009", "\u2028", "\u0085", "\u001c", "\u001f", "\u200b", "\u000b",
]  # fmt: skip

PUNCTUATION = [". ", ", ", "?", "! ", "- ", "。", "؟ ", "&amp;", "... ", "' ", "\u00a0"]


class Random:
    """SplitMix64."""

    def __init__(self, seed):
        self.state = seed & MASK

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, n):
        return self.next() % n

    def pick(self, choices):
        return choices[self.below(len(choices))]


def piece(random, topic):
    """A word and what follows it. Three in four words are from the neighbourhood of the topic, so that they repeat."""
    index = topic + random.below(12) if random.below(4) else random.below(len(WORDS))
    return WORDS[index % len(WORDS)] + random.pick(GAPS)


def pieces(random, long):
    kind, topic = random.below(16), random.below(len(WORDS))
    if kind == 0:
        return []
    if kind == 1:
        return [random.pick(PUNCTUATION) for _ in range(1 + random.below(6))]
    if kind == 2:
        return [piece(random, topic)]
    count = long + random.below(long) if kind == 3 else 1 + random.below(24)
    return [piece(random, topic) for _ in range(count)]


def edited(random, source):
    """The source with words dropped, replaced and inserted, and sometimes a phrase moved."""
    result = []
    for part in source:
        kind = random.below(16)
        if kind == 0:
            continue
        if kind in (1, 2):
            result.append(piece(random, random.below(len(WORDS))))
        if kind != 1:
            result.append(part)
    if result and random.below(2):
        start, length = random.below(len(result)), 1 + random.below(4)
        phrase, rest = result[start : start + length], result[:start] + result[start + length :]
        target = random.below(len(rest) + 1)
        result = rest[:target] + phrase + rest[target:]
    return result


def case(seed, segments, long):
    """Hypotheses and, for each, its references: one, two, or one to three."""
    random = Random(seed)
    hypotheses, references = [], []
    mode = random.below(4)
    for _ in range(segments):
        count = (1, 1, 2, 1 + random.below(3))[mode]
        group = [pieces(random, long)]
        while len(group) < count:
            group.append(edited(random, group[0]) if random.below(4) else pieces(random, long))
        source = random.pick(group)
        kind = random.below(16)
        hypothesis = source if kind == 0 else pieces(random, long) if kind == 1 else edited(random, source)
        hypotheses.append("".join(hypothesis))
        references.append(["".join(parts) for parts in group])
    return hypotheses, references


def corpus_or_sentence(family, index, long):
    """Case `index` of a family: a corpus when it is even, a single segment when it is odd."""
    seed = family * 1_000_003 + index
    return case(seed, 2 + index // 2 % 3 if index % 2 == 0 else 1, long)


SYLLABLES = "b bl c ch d dr f g h k l ll m n p qu r s ss sh t tr v w x y z a e i o u ee ou ay y oa".split(" ")
SUFFIXES = (
    "s es ies sses ss eed ed ing y ational tional enci anci izer bli abli alli entli eli ousli ization ation ator alism "
    "iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able "
    "ible ant ement ment ent ion sion tion ou ism ate iti ous ive ize e ll ied bled ated ized tting yyy 7"
).split(" ")


def stemmer_word(index):
    random = Random(index)
    word = "".join(random.pick(SYLLABLES) for _ in range(1 + random.below(5)))
    return word + "".join(random.pick(SUFFIXES) for _ in range(random.below(3)))
