"""Language: every key of a manifest, what it may hold, and what it is for.

The parser reads by these definitions, and the JSON Schema in manifests/ is generated from them.
"""

from __future__ import annotations

from typing import Any, Final

from bottle.core import rules, variables
from bottle.core.rules import Prompt, Registries, Variable
from bottle.core.shape import (
    Anything,
    Choice,
    Either,
    Flag,
    Items,
    Key,
    Number,
    Record,
    Table,
    Text,
)

SCHEMA: Final = "claude-bottle.schema.json"
RUNTIMES: Final = ("runc", "runsc")
ADAPTERS: Final = ("claude", "shell", "demo")
REGISTRIES: Final = ("pip", "npm")
PIPELOCK: Final = "pipelock"

SSH_LATER: Final = "the SSH gate of the sidecar is not there yet; use https remotes"
_LATER: Final = "it is not supported yet"


# -- texts

_NAME: Final = Text(
    wanted="a name",
    remedy="small letters, digits, - and _, at most 40, beginning with a letter or digit",
    pattern="[a-z0-9][a-z0-9_-]{0,39}",
)
_BOTTLE: Final = Text(wanted="the name of a bottle")
_VARIABLE_NAME: Final = Text(
    wanted="a variable name",
    remedy="letters, digits and _, not beginning with a digit",
    pattern=variables.NAME,
    unless=variables.RESERVED,
    rule=rules.free,
)
_HOST_VARIABLE: Final = Text(
    wanted="the name of a variable of this host",
    remedy="letters, digits and _, not beginning with a digit",
    pattern=variables.NAME,
    unless=variables.UNREADABLE,
    rule=rules.readable,
)
_VALUE: Final = Text(rule=lambda text: Variable(text=text))
_PATTERN: Final = Text(wanted="a host, *.host or host:port", longest=300, rule=rules.pattern)
_PLAIN_HOST: Final = Text(wanted="a plain host name", longest=254, rule=rules.host)
_PATH: Final = Text(wanted="the path of a file", pattern=r"[^\x00-\x1f\x7f]+", longest=4096)
_PATH_BELOW: Final = Text(
    wanted="the path of a file below the manifest's folder",
    remedy="write it relative to the manifest, without .. and links",
    pattern=r"(?:\./)?(?!\.\.?(?:/|$))[^/\\\x00-\x1f\x7f]+(?:/(?!\.\.?(?:/|$))[^/\\\x00-\x1f\x7f]+)*",
    longest=1024,
)
_SKILL: Final = Text(
    wanted="the name of a skill",
    remedy="letters, digits, - and _: it names a folder",
    pattern="[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
)
_PACKAGE: Final = Text(
    wanted="the name of a Debian package",
    remedy="small letters, digits, +, - and ., as in `build-essential`",
    pattern="[a-z0-9][a-z0-9+.-]{0,98}[a-z0-9+.]",
)
_REPOSITORY: Final = Text(
    wanted="a repository as owner/name",
    pattern=r"[A-Za-z0-9_.-]{1,100}(?:/[A-Za-z0-9_.-]{1,100}){1,8}",
)
_USER: Final = Text(wanted="a user's name", pattern="[A-Za-z_][A-Za-z0-9_.-]{0,63}")


def _sizes(least: int, most: int) -> Text:
    return Text(
        wanted="a size",
        remedy='a number with m or g, as in "512m" or "4g"',
        pattern="[1-9][0-9]{0,5}[mMgG]",
        rule=rules.bounded_size(least, most),
    )


# -- records

_ENV: Final = Table(
    names=_VARIABLE_NAME,
    of=Either(
        text=_VALUE,
        record=Record(
            {
                "from": Key(
                    shape=_HOST_VARIABLE,
                    about="The variable of the launcher's environment that holds the secret.",
                    required=True,
                ),
                "optional": Key(shape=Flag(), about="Whether it may be missing."),
                "for": Key(
                    shape=Items(of=_PLAIN_HOST, unique=True, least=1),
                    about="The hosts for which the sidecar is to keep the value.",
                    later="keeping a secret in the sidecar for a host is not supported yet",
                ),
            },
            lambda found: Variable(
                secret=found.get("from", ""), optional=found.get("optional", False)
            ),
        ),
    ),
)

_SSH: Final = Record(
    {
        "host": Key(shape=_PLAIN_HOST, about="The host that is reached.", required=True),
        "port": Key(
            shape=Number(least=1, most=65535, integral=True), about="Its port; 22 by default."
        ),
        "user": Key(shape=_USER, about="The account there; git by default."),
        "key": Key(shape=_PATH, about="The file with the private key.", required=True),
        "known_hosts": Key(
            shape=_PATH, about="The file that holds the host's public key.", required=True
        ),
        "repositories": Key(
            shape=Items(of=_REPOSITORY, unique=True, least=1),
            about="The repositories that may be reached there.",
        ),
        "access": Key(shape=Choice(("read", "write")), about="What may be done with them."),
    }
)

_EGRESS: Final = Record(
    {
        "allowlist": Key(
            shape=Items(
                of=Either(
                    text=_PATTERN,
                    record=Record(
                        {
                            "registries": Key(
                                shape=Items(of=Choice(REGISTRIES), unique=True, least=1),
                                about="Package clients: the hosts that they are configured for.",
                                required=True,
                            )
                        },
                        lambda found: Registries(clients=found.get("registries", ())),
                    ),
                )
            ),
            about="The hosts that may be reached: host, *.host (any name below it), host:port.",
        ),
        "proxy": Key(
            shape=Choice(("mitmproxy",), {PIPELOCK: f"the sidecar {PIPELOCK} is not there yet"}),
            about="The sidecar; mitmproxy by default.",
        ),
        "inspect": Key(
            shape=Table(
                of=Choice(("inspect", "splice")),
                names=Text(wanted="a host, *.host or host:port", longest=300, rule=rules.pattern),
                least=1,
            ),
            about="For single hosts, whether the sidecar reads what passes.",
            later=_LATER,
        ),
        "upstream_ca": Key(
            shape=_PATH, about="A certificate authority to trust towards the hosts.", later=_LATER
        ),
        "dlp": Key(shape=Anything(), about="What is searched for in content.", later=_LATER),
        "budget": Key(shape=Anything(), about="How much may be sent to a host.", later=_LATER),
    }
)

_LIMITS: Final = Record(
    {
        "memory": Key(
            shape=_sizes(512, 1024 * 1024),
            about="All memory, what lies in the workspace included; 4g by default.",
        ),
        "cpus": Key(shape=Number(least=0.1, most=1024), about="Processors; no limit by default."),
        "pids": Key(
            shape=Number(least=128, most=65536, integral=True),
            about="Processes and threads; 1024 by default, and at least that with runsc.",
        ),
        "tmp": Key(shape=_sizes(64, 1024 * 1024), about="The size of /tmp; 512m by default."),
    }
)

_IMAGE: Final = Record(
    {
        "packages": Key(
            shape=Items(of=_PACKAGE, unique=True), about="Debian packages to install as well."
        ),
        "dockerfile": Key(
            shape=_PATH_BELOW,
            about="A Dockerfile of your own, FROM ${BASE}; its RUN has no walls, and it is asked "
            "about before it is built.",
        ),
    }
)

BOTTLE: Final = Record(
    {
        "extends": Key(shape=_BOTTLE, about="The bottle that this one adds to."),
        "runtime": Key(
            shape=Choice(RUNTIMES), about="runc, or runsc for a kernel of its own (gVisor)."
        ),
        "env": Key(
            shape=_ENV,
            about="Variables for the agent: a text, or {from: NAME} for a secret of this host's.",
        ),
        "ssh": Key(shape=Items(of=_SSH), about="Hosts reached by SSH. Not supported yet."),
        "egress": Key(shape=_EGRESS, about="What may leave the bottle."),
        "limits": Key(shape=_LIMITS, about="How much of this host it may use."),
        "image": Key(shape=_IMAGE, about="What its image has beside Claude Code."),
    }
)

AGENT: Final = Record(
    {
        "bottle": Key(shape=_BOTTLE, about="The bottle that it runs in.", required=True),
        "adapter": Key(
            shape=Choice(ADAPTERS), about="The program: claude (default), shell, or demo."
        ),
        "skills": Key(
            shape=Items(of=_SKILL, unique=True, instead=""),  # the files of the others are read
            about="Folders of ~/.claude/skills, or of skills/ beside the manifest.",
        ),
        "prompt": Key(
            shape=Either(
                text=Text(rule=lambda text: Prompt(text=text)),
                record=Record(
                    {
                        "file": Key(
                            shape=_PATH_BELOW,
                            about="A file below the manifest's folder.",
                            required=True,
                        )
                    },
                    lambda found: Prompt(file=found.get("file", "")),
                ),
            ),
            about="Text for the system prompt, or {file: PATH}.",
        ),
        "args": Key(
            shape=Items(of=Text(longest=4096)), about="Further words for the agent's program."
        ),
        "env": Key(shape=_ENV, about="Variables for this agent, beside those of its bottle."),
    }
)


MANIFEST: Final = Record(
    {
        "$schema": Key(shape=Text(), about="The JSON Schema that editors complete by."),
        "bottles": Key(
            shape=Table(of=BOTTLE, names=_NAME), about="What can run, by name.", required=True
        ),
        "agents": Key(
            shape=Table(of=AGENT, names=_NAME), about="What can be started.", required=True
        ),
    }
)


def schema() -> dict[str, Any]:
    """Give the JSON Schema of a manifest."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "claude-bottle.json",
        "description": "Bottles and agents of claude-bottle.",
        **MANIFEST.schema(),
    }
