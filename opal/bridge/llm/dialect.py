"""How an endpoint wants to be asked within OpenAI's protocol, and what mends a refusal.

What is asked does not depend on it: a request is the same question, and the same purchase, in every
dialect.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Literal

from opal.bridge.llm.request import Message, Request, encodable

# OpenAI's reasoning models know only the second; many other servers only the first.
LimitName = Literal["max_tokens", "max_completion_tokens"]

_UNKNOWN = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unexpected|not permitted|unknown|not allowed|"
    r"invalid (?:parameter|argument|field)|instead|extra"
)
_TOO_LARGE = re.compile(r"too (?:large|big|high)|at most|exceed|less than or equal|maximum value")
_BILLING = re.compile(
    r"insufficient[ _](?:\w+[ _])?(?:balance|quota|credits?|funds)|out of credits?|no credits?|"
    r"credit balance|add (?:more )?credits|billing|payment|prepaid|arrears|recharge"
)
_NO_MODEL = re.compile(
    r"(?:no such|unknown|invalid) model|model.{0,80}(?:not (?:found|exist|available)|unknown)"
)
_CONTENT = re.compile(
    r"content[ _-]?(?:filter|policy|management)|moderation|flagged|safety|responsible ?ai|"
    r"context[ _]?(?:length|window)|maximum context|too long|string_above_max_length"
)


@dataclass(frozen=True)
class Complaint:
    """An endpoint's refusal of a request: its HTTP status, and all that it says, in lower case."""

    status: int
    said: str

    @property
    def is_of_content(self) -> bool:
        """Whether it is of this prompt, and another may pass."""
        return self.status == 413 or bool(_CONTENT.search(self.said))

    @property
    def is_of_billing(self) -> bool:
        """Whether the account can pay for nothing."""
        return self.status == 402 or (self.status < 500 and bool(_BILLING.search(self.said)))

    @property
    def remedy(self) -> str:
        """What to do about it, a sentence that names the flag; empty if nobody knows."""
        said = self.said
        if "temperature" in said and "top_p" in said:
            return "Set only one of --temperature and --top-p."
        for name, flag in (("temperature", "--temperature"), ("top_p", "--top-p")):
            if name in said:
                return f"Leave {flag} out, or set another value."
        if re.search(r"max_(?:completion_)?tokens|max_output_tokens|completion tokens", said):
            if _TOO_LARGE.search(said):
                return "Ask for fewer with --max-tokens."
            return "Name the limit as the endpoint does with --limit-name."
        if _NO_MODEL.search(said):
            return "Name another model with --model."
        return ""


@dataclass(frozen=True)
class Dialect:
    """What an endpoint knows of the protocol."""

    limit_name: LimitName = "max_tokens"
    has_system: bool = True  # messages of the role system
    has_schemas: bool = True  # JSON schemas that an answer follows
    is_switched: bool = False  # whether the other name of the limit was refused

    def body(self, request: Request) -> dict[str, object]:
        """What is posted, without halves of characters, which no encoding can carry.

        Never ``n``: servers ignore it, so a request asks for one answer. Temperature and ``top_p``
        only where they are set: some models know neither, or not both.
        """
        sampling = {"temperature": request.temperature, "top_p": request.top_p}
        messages = request.messages if self.has_system else without_system(request.messages)
        body: dict[str, object] = {
            "model": request.model,
            "messages": [
                {"role": each.role, "content": encodable(each.content)} for each in messages
            ],
            **{name: value for name, value in sampling.items() if value is not None},
            self.limit_name: request.max_tokens,
        }
        if self.has_schemas and request.schema:
            schema = {"name": "answer", "strict": True, "schema": json.loads(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def adapted(self, complaint: Complaint, request: Request) -> Dialect | None:
        """The dialect to try after a complaint; None if none would help."""
        said = complaint.said
        if complaint.status not in (400, 404, 415, 422, 500, 501) or complaint.is_of_billing:
            return None
        other: LimitName = (
            "max_completion_tokens" if self.limit_name == "max_tokens" else "max_tokens"
        )
        named = _names(self.limit_name, said) and not self.is_switched
        if named and (_names(other, said) or _UNKNOWN.search(said)):
            return replace(self, limit_name=other, is_switched=True)
        system = any(each.role == "system" for each in request.messages)
        if self.has_system and system and re.search(r"system|role", said):
            return replace(self, has_system=False)
        schemed = self.has_schemas and bool(request.schema)
        if schemed and (
            re.search(r"response_format|json|schema|structured|grammar|guided", said)
            or not (complaint.is_of_content or complaint.remedy)
        ):
            return replace(self, has_schemas=False)
        return None

    def notes(self, usual: Dialect) -> list[str]:
        """Sentences for the user: how it differs from the usual one."""
        told = []
        if self.limit_name != usual.limit_name:
            told.append(f"the endpoint calls the limit of tokens {self.limit_name}.")
        if not self.has_system:
            told.append("the endpoint knows no system role; its text stands before the user's.")
        return told


def _names(name: str, said: str) -> bool:
    return re.search(rf"(?<!\w){name}(?!\w)", said) is not None


def without_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages with the text of the system at the head of the first of the user."""
    system = [each.content for each in messages if each.role == "system"]
    others = [each for each in messages if each.role != "system"]
    first = [each.content for each in others[:1] if each.role == "user"]
    if not system:
        return messages
    return (Message("user", "\n\n".join([*system, *first])), *others[len(first) :])
