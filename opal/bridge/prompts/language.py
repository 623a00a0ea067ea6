"""The languages that a model can be told to write in.

Prompts are English in all of them: models follow these best, and one set of words is tested. The
language is told by its English name, which leaves no doubt where examples have several languages,
or few words.
"""

from __future__ import annotations

from collections.abc import Mapping

from opal import names

LANGUAGES: Mapping[str, str] = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "nb": "Norwegian (bokmål)",
    "nl": "Dutch",
    "nn": "Norwegian (nynorsk)",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sv": "Swedish",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
"""English names of languages, by their codes of ISO 639-1."""


def manner(language: str | None) -> str:
    """How a new text is to be like the examples, in a prompt; in their language if None.

    >>> manner("da")
    'in Danish, whatever the language of the examples, and in their manner'

    Raises:
        UnknownNameError: the language is not a code of :data:`LANGUAGES`.
    """
    if language is None:
        return "in the language and manner of the examples"
    code = next((code for code, name in LANGUAGES.items() if name == language.title()), None)
    if code is not None:
        raise names.UnknownNameError(
            f"a language is named by its code of ISO 639-1; got {language!r}. Write {code!r}."
        )
    names.check("language", [language], LANGUAGES)
    return f"in {LANGUAGES[language]}, whatever the language of the examples, and in their manner"
