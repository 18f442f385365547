"""Script: what the model's part says next, judged from the conversation so far; pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

MARK: Final = "stand-in says hello"
"""In every page that a stand-in serves: who reads it has reached one."""
TOOL: Final = "Bash"
_CURL: Final = "curl -sSm9"
_DIRECT: Final = "curl -sSm9 --noproxy '*'"
_QUIET: Final = "Nothing to do here."
_LONGEST_QUOTE: Final = 160


@dataclass(frozen=True, kw_only=True)
class ToolUse:
    """A tool call that the client is asked to run."""

    id: str
    name: str
    input: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One turn: text, and perhaps one tool call after it."""

    text: str
    tool: ToolUse | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that the demo tries, and what to make of its result."""

    id: str
    say: str
    command: str
    description: str
    subject: str
    wanted: bool
    """Whether it has to work; the others have to be refused."""
    refusal: str = ""
    """How a refusal shows itself in the result."""
    refused_by: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a tool call gave."""

    text: str
    failed: bool


def steps(listed: str, unlisted: str, forbidden: str) -> tuple[Step, ...]:
    """Give the demo's attempts; nothing is `listed` when no page is served."""
    allowed = Step(
        id="toolu_demo_listed",
        say=f"I am in a bottle. First I fetch a page from {listed}, which is on the allowlist.",
        command=f"{_CURL} https://{listed}/",
        description=f"Fetch a page from {listed}",
        subject=f"https://{listed}/ (on the allowlist)",
        wanted=True,
    )
    return (
        *([allowed] if listed else []),
        Step(
            id="toolu_demo_unlisted",
            say=f"Now {unlisted}, which is not on the allowlist.",
            command=f"{_CURL} https://{unlisted}/",
            description=f"Try to fetch a page from {unlisted}",
            subject=f"https://{unlisted}/ (not on the allowlist)",
            wanted=False,
            refusal="403",
            refused_by="the sidecar answered 403",
        ),
        Step(
            id="toolu_demo_forbidden",
            say="Last I go around the proxy, straight to another container.",
            command=f"{_DIRECT} {forbidden}",
            description="Try to reach another container directly",
            subject=f"{forbidden} (directly, past the proxy)",
            wanted=False,
            refusal="curl: (",
            refused_by="no way leads there",
        ),
    )


def demo(body: Mapping[str, Any], plan: Sequence[Step]) -> Reply:
    """Give the demo's next turn; a request that offers no shell is a side question of the client.

    A step is done when its tool call has a result, so repeated and odd requests do no harm.
    """
    if not _offers_shell(body):
        return side(body)
    results = dict(_results(body.get("messages")))
    for step in plan:
        if step.id not in results:
            call = {"command": step.command, "description": step.description}
            return Reply(text=step.say, tool=ToolUse(id=step.id, name=TOOL, input=call))
    return Reply(text=summary(plan, results))


def side(body: Mapping[str, Any]) -> Reply:
    """Answer what the client asks on the side (a title, a summary): harmlessly, in its form."""
    members = _wanted_members(body)
    if members is None:
        return Reply(text=_QUIET)
    return Reply(text=json.dumps(dict.fromkeys(members, "demo")))


def summary(plan: Sequence[Step], results: Mapping[str, Result]) -> str:
    """Tell what came of each step, from its result alone."""
    told = [verdict(step, results[step.id]) for step in plan]
    lines = [f"- {step.subject}: {text}" for step, (_, text) in zip(plan, told, strict=True)]
    if all(right for right, _ in told):
        end = "The bottle let me do what its manifest allows, and nothing else."
    else:
        end = "That is not what this bottle should do: please look at the lines above."
    return "\n".join(["What happened:", *lines, "", end])


def verdict(step: Step, result: Result) -> tuple[bool, str]:
    """Judge one result: whether it is as it should be, and in words.

    Only the stand-in's own mark proves that something was reached, and only the right kind of
    failure that something was refused.
    """
    reached = MARK in result.text
    quote = _quote(result.text)
    if reached:
        return step.wanted, "worked" if step.wanted else "WORKED, but must not"
    if step.wanted:
        return False, f"did NOT work: {quote}"
    if result.failed and step.refusal in result.text:
        return True, f"refused, {step.refused_by}: {quote}"
    return False, f"did not clearly fail as it should: {quote}"


def _quote(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("curl:")] or lines
    return told[0][:_LONGEST_QUOTE] if told else "(no output)"


def _offers_shell(body: Mapping[str, Any]) -> bool:
    tools = body.get("tools")
    offered = tools if isinstance(tools, list) else []
    return any(isinstance(tool, dict) and tool.get("name") == TOOL for tool in offered)


def _results(messages: object) -> Iterator[tuple[str, Result]]:
    """Find every tool result, wherever it stands: a system-role message may follow the user's."""
    for message in messages if isinstance(messages, list) else []:
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else []:
            if isinstance(block, dict) and block.get("type") == "tool_result":
                failed = bool(block.get("is_error"))
                result = Result(text=_text(block.get("content")), failed=failed)
                yield str(block.get("tool_use_id")), result


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "\n".join(str(block.get("text", "")) for block in blocks if isinstance(block, dict))


def _wanted_members(body: Mapping[str, Any]) -> list[str] | None:
    """Give the members of the JSON object that the client wants as its answer, if it wants one."""
    found: Any = body
    for key in ("output_config", "format", "schema", "properties"):
        found = found.get(key) if isinstance(found, dict) else None
    return [str(name) for name in found] if isinstance(found, dict) else None
