from __future__ import annotations

import pytest

from opal.bridge.prompts.common import RejectedError
from opal.bridge.prompts.text import written_text

FENCE = "```"


@pytest.mark.parametrize(
    "answer",
    [
        '{"text": "One text."}',
        '  \n{"text":"One text."}\n',
        f'{FENCE}json\n{{"text": "One text."}}\n{FENCE}',
        f'{FENCE}\n{{"text": "One text."}}\n{FENCE}\n',
        f'{FENCE}JSON {{"text": "One text."}} {FENCE}',
        f'Here you are:\n{FENCE}json\n{{"text": "One text."}}\n{FENCE}\nI hope it helps.',
        'Here it is: {"text": "One text."}',
        '{"text": "One text."} Is it of the class?',
        'One about {"guests"}, perhaps.\n</think>\n\n{"text": "One text."}',
        '<thinking>one</thinking>{"text": "One text."}',
        '<reasoning>\none </think> two</reasoning>\n{"text": "One text."}',
        (
            "<|channel|>analysis<|message|>One.<|end|><|start|>assistant<|channel|>final<|message|>"
            '{"text": "One text."}<|return|>'
        ),
        '<|channel|>final <|constrain|>json<|message|>{"text": "One text."}<|end|>',
        '<think>They want "text".\n{"text": "a draft"}</think>\n{"text": "One text."}',
        '{"text": "\\u004fne text."}',
    ],
)
def test_an_answer_is_read(answer: str) -> None:
    assert written_text(answer) == "One text."


def test_a_text_comes_back_as_it_was_written() -> None:
    text = ' "quoted" \\ <b>\n```json\n{"text": 1}\n``` 👩‍👩‍👧 שלום \u202e =1+1 '
    import json

    assert written_text(json.dumps({"text": text})) == text
    assert written_text(json.dumps({"text": text}, ensure_ascii=False)) == text


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "the answer is empty"),
        (" \n", "the answer is empty"),
        (f"{FENCE}json\n{FENCE}", "the answer is empty"),
        ("One text.", "not JSON: 'One text.'"),
        ('Either {"text": "One text."} or {"text": "Two."}', "not JSON"),
        ('[{"text": "One text."}]', "alone"),
        (f'{FENCE}\n{{"text": "One."}}\n{FENCE}\n{FENCE}\n{{"text": "Two."}}\n{FENCE}', "not JSON"),
        ("<think>" + "a" * 100_000, "not JSON"),
        (FENCE + " " * 100_000, "not JSON"),
        ('{"text": "One text', "not JSON"),
        ('{"text": "a"} {"text": "b"}', "not JSON"),
        ("{'text': 'a'}", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('"One text."', "alone"),
        ('["One text."]', "alone"),
        ("{}", "alone"),
        ('{"text": "a", "text": "b"}', "alone"),
        ('{"text": "a", "class": "b"}', "alone"),
        ('{"texts": "a"}', "alone"),
        ('{"text": 3}', "no string"),
        ('{"text": {"text": "a"}}', "no string"),
        ('{"text": null}', "no string"),
        ('{"text": " \\n "}', "the text is empty"),
        ('{"text": "a\\ud83d"}', r"U\+D83D"),
        ('{"text": "a\\u0000"}', r"U\+0000"),
    ],
)
def test_what_is_no_text_is_rejected_with_its_reason(answer: str, reason: str) -> None:
    with pytest.raises(RejectedError, match=reason):
        written_text(answer)


def test_a_reason_is_short() -> None:
    with pytest.raises(RejectedError) as error:
        written_text("x" * 100_000)
    assert len(str(error.value)) < 100
