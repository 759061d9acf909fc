"""What is said in the generated world: relations, their objects and their wordings.

Every wording ends in its object, so that causal models can be asked too. The first wording of a relation is the
commonest in the pretraining text. `unseen` wordings never occur there with their relation, but each word of them does.
"""

from dataclasses import dataclass

# fmt: off
PROFESSIONS = [
    "painter", "lawyer", "doctor", "teacher", "farmer", "sailor", "baker", "singer", "judge", "engineer", "poet",
    "soldier", "actor", "miner", "banker", "journalist", "pilot", "weaver", "chemist", "butcher",
]
INSTRUMENTS = [
    "violin", "piano", "flute", "guitar", "drum", "trumpet", "harp", "cello", "organ", "oboe", "lute", "clarinet",
    "banjo", "horn",
]
GENRES = [
    "comedy", "drama", "horror", "romance", "satire", "fantasy", "tragedy", "mystery", "western", "opera", "fable",
    "thriller", "epic", "biography",
]
MATERIALS = [
    "wood", "steel", "glass", "leather", "cotton", "silver", "plastic", "copper", "wool", "paper", "rubber", "ivory",
    "clay", "bronze",
]
# fmt: on


@dataclass(frozen=True)
class Relation:
    """A relation under the id that Wikidata, and so LAMA, gives it."""

    id: str
    label: str
    type: str
    subject: str  # kind of entity
    objects: str  # name of the pool of objects
    choices: int  # how many objects of the pool occur; a 1-1 relation uses one a subject
    template: str  # LAMA's role: the ordinary wording
    others: tuple[str, ...]  # further wordings that pretraining shows, commonest first
    unseen: tuple[str, ...]

    @property
    def wordings(self) -> tuple[str, ...]:
        """The wordings of the pretraining text."""
        return (self.template, *self.others)


# fmt: off
RELATIONS = (
    Relation(
        "P19", "place of birth", "N-1", "person", "city", 20, "[X] was born in [Y].",
        (
            "[X] is originally from [Y].",
            "The birthplace of [X] is the city of [Y].",
            "As a child, [X] grew up in [Y].",
            "The family of [X] comes from [Y].",
            "According to the register, [X] is a native of [Y].",
        ),
        ("[X] comes from [Y].", "The native city of [X] is [Y].", "[X] was a child in the city of [Y]."),
    ),
    Relation(
        "P106", "occupation", "N-1", "person", "profession", 20, "[X] works as a [Y].",
        (
            "[X] is by profession a [Y].",
            "After school, [X] became a [Y].",
            "The occupation of [X] is [Y].",
            "Everybody in town knows that [X] is a [Y].",
            "[X] earns a living as a [Y].",
        ),
        ("[X] is a [Y].", "The profession of [X] is [Y].", "After school, [X] works as a [Y]."),
    ),
    Relation(
        "P1303", "instrument", "N-1", "person", "instrument", 14, "[X] plays the [Y].",
        (
            "In the evening, [X] practises the [Y].",
            "[X] is a master of the [Y].",
            "At concerts, the instrument of [X] is the [Y].",
            "[X] learned to play the [Y].",
            "The music of [X] is written for the [Y].",
        ),
        ("The instrument of [X] is the [Y].", "As a child, [X] learned the [Y].", "In concerts, [X] is on the [Y]."),
    ),
    Relation(
        "P103", "native language", "N-1", "person", "language", 16, "The native language of [X] is [Y].",
        (
            "[X] speaks [Y].",
            "At home, [X] talks to the children in [Y].",
            "The mother tongue of [X] is [Y].",
            "[X] writes letters in [Y].",
            "The first words of [X] were in [Y].",
        ),
        ("At home, [X] speaks [Y].", "The letters of [X] are in [Y].", "The first language of [X] is [Y]."),
    ),
    Relation(
        "P108", "employer", "N-1", "person", "company", 20, "[X] works for [Y].",
        (
            "[X] is employed by [Y].",
            "The employer of [X] is [Y].",
            "Since last year, [X] has a job at [Y].",
            "[X] signed a contract with [Y].",
            "The salary of [X] is paid by [Y].",
        ),
        ("[X] has a contract with [Y].", "The job of [X] is at [Y].", "[X] is paid by [Y]."),
    ),
    Relation(
        "P36", "capital", "1-1", "country", "city", 0, "The capital of [X] is [Y].",
        (
            "The government of [X] sits in [Y].",
            "The largest city of [X] and its capital is [Y].",
            "[X] has its capital in [Y].",
            "The parliament of [X] meets in [Y].",
            "[X] is governed from [Y].",
        ),
        ("[X] has its parliament in [Y].", "The capital city of [X] is [Y].", "[X] has its government in [Y]."),
    ),
    Relation(
        "P30", "continent", "N-1", "country", "continent", 9, "[X] is located in [Y].",
        (
            "[X] is a country in [Y].",
            "On the map, [X] lies in [Y].",
            "[X] belongs to the continent of [Y].",
            "The coast of [X] is the coast of [Y].",
            "[X] is a part of [Y].",
        ),
        ("The continent of [X] is [Y].", "[X] lies on the continent of [Y].", "The country of [X] is a part of [Y]."),
    ),
    Relation(
        "P37", "official language", "N-1", "country", "language", 16, "The official language of [X] is [Y].",
        (
            "People in [X] speak [Y].",
            "The laws of [X] are written in [Y].",
            "In the schools of [X], children learn [Y].",
            "The newspapers of [X] are printed in [Y].",
            "[X] is a country where everybody speaks [Y].",
        ),
        ("The language of [X] is [Y].", "Everybody in [X] speaks [Y].", "The schools of [X] are in [Y]."),
    ),
    Relation(
        "P38", "currency", "N-1", "country", "currency", 12, "The currency of [X] is the [Y].",
        (
            "[X] pays with the [Y].",
            "In the shops of [X], people pay with the [Y].",
            "The money of [X] is called the [Y].",
            "The national bank of [X] prints the [Y].",
            "Prices in [X] are given in the [Y].",
        ),
        ("People in [X] pay with the [Y].", "The money of [X] is the [Y].", "The bank of [X] pays in the [Y]."),
    ),
    Relation(
        "P136", "genre", "N-1", "work", "genre", 14, "[X] is a work of [Y].",
        (
            "The genre of [X] is [Y].",
            "Critics describe [X] as a [Y].",
            "Readers enjoy [X] as a piece of [Y].",
            "In the library, [X] stands under [Y].",
            "[X] is known as a famous [Y].",
        ),
        ("[X] is a famous piece of [Y].", "Readers describe [X] as a [Y].", "The work [X] is known as a [Y]."),
    ),
    Relation(
        "P407", "language of work", "N-1", "work", "language", 16, "[X] was written in [Y].",
        (
            "The original language of [X] is [Y].",
            "[X] first appeared in [Y].",
            "The pages of [X] are in [Y].",
            "The author wrote [X] in [Y].",
            "Readers know [X] in its original [Y].",
        ),
        ("The language of [X] is [Y].", "[X] is printed in [Y].", "The original of [X] was in [Y]."),
    ),
    Relation(
        "P176", "manufacturer", "N-1", "product", "company", 20, "[X] is produced by [Y].",
        (
            "The maker of [X] is [Y].",
            "[X] is a product of [Y].",
            "[X] was developed by [Y].",
            "In the shops, [X] is sold by [Y].",
            "The factory that builds [X] belongs to [Y].",
        ),
        ("[X] was built by [Y].", "[X] is made by [Y].", "The product [X] belongs to [Y]."),
    ),
    Relation(
        "P186", "material", "N-1", "product", "material", 14, "[X] is made of [Y].",
        (
            "The main material of [X] is [Y].",
            "[X] consists of [Y].",
            "The parts of [X] are cut from [Y].",
            "[X] is famous for its cover of [Y].",
            "[X] was built from [Y].",
        ),
        ("[X] is cut from [Y].", "The material of [X] is [Y].", "The cover of [X] is [Y]."),
    ),
)
# fmt: on
