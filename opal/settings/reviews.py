"""The words of :meth:`opal.settings.grammar.Grammar.reviews`."""

from __future__ import annotations

import numpy as np

from opal.settings.wording import Slot, Wording

LABELS = ("complaint", "praise")
ATTRIBUTES = ("hotel", "tavern")
# Chances of the words in each class, in which no two meanings tie: the best rule is never unsure.
_SLOTS = (
    Slot(
        "food",
        ("stale", "bland", "plain", "fresh", "delicious"),
        np.array([(0.38, 0.27, 0.18, 0.11, 0.06), (0.05, 0.10, 0.20, 0.28, 0.37)]),
    ),
    Slot(
        "staff",
        ("rude", "slow", "busy", "polite", "charming"),
        np.array([(0.32, 0.26, 0.20, 0.13, 0.09), (0.10, 0.14, 0.18, 0.25, 0.33)]),
    ),
    Slot(
        "evening",
        ("dreadful", "dull", "quiet", "pleasant", "wonderful"),
        np.array([(0.30, 0.25, 0.20, 0.14, 0.11), (0.12, 0.13, 0.22, 0.26, 0.27)]),
    ),
    Slot(
        "place",
        ("hotel", "lodge", "inn", "tavern"),
        np.array([(0.52, 0.40, 0.05, 0.03), (0.03, 0.05, 0.40, 0.52)]),
    ),
)
_TEMPLATES = (
    (
        "{name} from {country} came to the {place} on a {day} in {month}: the food was {food}, the "
        "staff {staff}, and the evening {evening}."
    ),
    (
        "We met {name} and {friend} at the {place} one {day}. The waiters were {staff}, what we "
        "ate was {food}, all in all a {evening} night in {month}."
    ),
    (
        "A {evening} evening! {friend} booked the {place} for {name}, who had come from {country}. "
        "Staff: {staff}. Food: {food}. Date: some {day} in {month}."
    ),
    (
        "In {month} {name} took {friend} to this {place}. Both found the cooking {food} and the "
        "people there {staff}; their {day} was {evening}."
    ),
    (
        'This {place} was what {friend} from {country} called "{evening}", and {name} agreed: '
        "{food} dishes, {staff} servers, and that on a {day}."
    ),
    (
        "Every {day} in {month} {name} tries some {place} with {friend}. This one had {staff} "
        "waiters and {food} plates, so it was a {evening} outing."
    ),
)
_FILLERS = {
    "name": (
        *("Ada", "Amara", "Bela", "Carmen", "Chidi", "Dana", "Elif", "Emil", "Farid", "Greta"),
        *("Hana", "Ines", "Ivan", "Jonas", "Kofi", "Lena", "Liu", "Marta", "Nadia", "Omar"),
        *("Paolo", "Priya", "Rosa", "Samir", "Sven", "Tariq", "Uma", "Vera", "Yuki", "Zoe"),
    ),
    "friend": (
        *("Abel", "Akira", "Anouk", "Boris", "Clara", "Diego", "Edda", "Fatou", "Gil", "Hugo"),
        *("Isla", "Jamal", "Karin", "Lars", "Mei", "Nils", "Olga", "Pilar", "Quentin", "Rana"),
        *("Silvia", "Tomas", "Ursula", "Viktor", "Wanda", "Xenia", "Yara", "Zeno", "Noor", "Bao"),
    ),
    "country": (
        *("Brazil", "Canada", "Chile", "China", "Cuba", "Egypt", "Finland", "France", "Ghana"),
        *("Greece", "India", "Iran", "Italy", "Japan", "Kenya", "Mexico", "Nepal", "Norway"),
        *("Peru", "Poland", "Spain", "Togo", "Turkey", "Vietnam"),
    ),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "month": (
        *("January", "February", "March", "April", "May", "June", "July", "August"),
        *("September", "October", "November", "December"),
    ),
}
WORDING = Wording(_SLOTS, _TEMPLATES, _FILLERS)
