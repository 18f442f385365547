"""Grade: whether what an agent sends to a host of the allowlist can be read by strangers.

The table names hosts that take what strangers write. A name below one of its hosts is graded as
that host, unless a longer one stands in the table too. Nothing is called safe: whoever answers has
read the question. The port makes no difference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from bottle.core.allowlist import HostPattern


class Grade(StrEnum):
    """Who can read what an agent sends there, the worst first."""

    PUBLISHES = "publishes"
    """Strangers: with an account, a key or an address of their own, which an agent can be told."""
    UNKNOWN = "unknown"
    """Not in the table; to be read as if it published."""
    VENDOR = "vendor"
    """The vendor of a model, who keeps it."""
    READS = "reads"
    """Whoever runs the host, in its logs; no way to leave something there is documented."""


@dataclass(frozen=True, kw_only=True)
class Graded:
    """A grade, why, and the public page that says so (empty where there is none)."""

    grade: Grade
    why: str
    source: str = ""


def _publishes(why: str) -> Graded:
    return Graded(grade=Grade.PUBLISHES, why=why)


_UNKNOWN: Final = Graded(
    grade=Grade.UNKNOWN, why="not in the table: find out who can read what is sent there"
)
_CODE: Final = _publishes("code hosting: any account can push and comment, and share snippets")
_PASTE: Final = _publishes("paste service: who has the link reads what was sent")
_FILES: Final = _publishes("file sharing: who has the link reads what was sent")
_CLOUD: Final = _publishes("cloud: the storage or program of any customer can be behind it")
_CHAT: Final = _publishes("chat: goes to the channel that the token or address names")
_FORMS: Final = _publishes("documents: a form or script takes answers for whoever made it")
_PAGES: Final = _publishes("pages: an account can publish what it makes or is sent")
_BIN: Final = _publishes("request bin: who made the address reads what is sent to it")
_TUNNEL: Final = _publishes("tunnel: a name below it leads to the machine of whoever opened it")
_SITES: Final = _publishes("hosting: a name below it belongs to whoever registered it")
_IMAGES: Final = _publishes("container registry: any account can push what all can pull")
_MODELS: Final = _publishes("model hub: any account can upload what all can read")
_EVENTS: Final = _publishes("error reports: go to the project that the key names")
_RUNS: Final = _publishes("workflow runs: takes logs and files of any repository's runs")
_VENDOR: Final = Graded(
    grade=Grade.VENDOR,
    why="model: its vendor keeps what it is sent, and its tools can carry that to other hosts",
)
_READS: Final = Graded(grade=Grade.READS, why="gives out what others published: not to be trusted")

_GITHUB: Final = "https://docs.github.com/en/"
_CLAUDE: Final = "https://platform.claude.com/docs/en/"
_GITHUB_RUNS: Final = "actions.githubusercontent.com"
_GITHUB_RELEASES: Final = "objects.githubusercontent.com release-assets.githubusercontent.com"
_SUFFIXES: Final = (
    "github.io gitlab.io netlify.app vercel.app onrender.com fly.dev herokuapp.com web.app run.app"
    " firebaseapp.com azurewebsites.net cloudfront.net deno.dev hf.space duckdns.org"
)

# The names of the registries of language packages stand nowhere in this project: see `registry`.
_TABLE: Final = (
    (_CODE, _GITHUB + "rest/gists/gists", "github.com"),
    (_CODE, "https://docs.gitlab.com/user/snippets/", "gitlab.com"),
    (_CODE, "https://support.atlassian.com/bitbucket-cloud/", "bitbucket.org"),
    (_CODE, "https://docs.codeberg.org/getting-started/first-repository/", "codeberg.org"),
    (_RUNS, _GITHUB + "actions/reference/runners/self-hosted-runners", _GITHUB_RUNS),
    (_READS, _GITHUB + "rest/repos/contents", "codeload.github.com raw.githubusercontent.com"),
    (_READS, _GITHUB + "rest/gists/gists", "gist.githubusercontent.com"),
    (_READS, _GITHUB + "rest/releases/assets", _GITHUB_RELEASES),
    (_PASTE, "https://pastebin.com/doc_api", "pastebin.com"),
    (_PASTE, "https://dpaste.com/api/v2/", "dpaste.com"),
    (_PASTE, "https://paste.rs/", "paste.rs"),
    (_FILES, "https://0x0.st/", "0x0.st"),
    (_FILES, "https://catbox.moe/tools.php", "catbox.moe"),
    (_FILES, "https://tmpfiles.org/api", "tmpfiles.org"),
    (_FILES, "https://www.dropbox.com/developers/documentation", "dropbox.com dropboxapi.com"),
    (_CLOUD, "https://docs.aws.amazon.com/general/latest/gr/s3.html", "amazonaws.com"),
    (_CLOUD, "https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html", "on.aws"),
    (_CLOUD, "https://cloud.google.com/storage/docs/request-endpoints", "googleapis.com"),
    (_CLOUD, "https://learn.microsoft.com/en-us/azure/storage/blobs/", "core.windows.net"),
    (_CLOUD, "https://developers.cloudflare.com/r2/api/s3/api/", "r2.cloudflarestorage.com"),
    (_CHAT, "https://api.slack.com/messaging/webhooks", "slack.com"),
    (_CHAT, "https://discord.com/developers/docs/resources/webhook", "discord.com discordapp.com"),
    (_CHAT, "https://core.telegram.org/bots/api", "api.telegram.org"),
    (_CHAT, "https://docs.ntfy.sh/publish/", "ntfy.sh"),
    (_FORMS, "https://developers.google.com/apps-script/guides/web", "script.google.com"),
    (_FORMS, "https://support.google.com/docs/answer/6281888", "docs.google.com"),
    (_BIN, "https://docs.webhook.site/", "webhook.site"),
    (_BIN, "https://github.com/projectdiscovery/interactsh", "oast.fun oast.pro oast.live"),
    (_TUNNEL, "https://ngrok.com/docs", "ngrok.io ngrok.app ngrok.dev ngrok-free.app"),
    (_TUNNEL, "https://ngrok.com/blog/free-static-domains-ngrok-users", "ngrok-free.dev"),
    (_TUNNEL, "https://try.cloudflare.com/", "trycloudflare.com"),
    (_SITES, "https://developers.cloudflare.com/pages/get-started/direct-upload/", "pages.dev"),
    (_SITES, "https://developers.cloudflare.com/workers/configuration/routing/", "workers.dev"),
    (_SITES, "https://publicsuffix.org/list/", _SUFFIXES),
    (_IMAGES, "https://docs.docker.com/docker-hub/repos/", "docker.io docker.com"),
    (_MODELS, "https://huggingface.co/docs/hub/repositories", "huggingface.co hf.co"),
    (_EVENTS, "https://docs.sentry.io/concepts/key-terms/dsn-explainer/", "sentry.io"),
    (_PAGES, "https://code.claude.com/docs/en/artifacts", "claude.ai"),
    (_READS, "https://code.claude.com/docs/en/setup", "downloads.claude.ai"),
    (_VENDOR, _CLAUDE + "agents-and-tools/mcp-connector", "anthropic.com platform.claude.com"),
    (_VENDOR, "https://platform.openai.com/docs/api-reference/files", "api.openai.com"),
)

_ENTRIES: Final = {
    host: replace(kind, source=source) for kind, source, hosts in _TABLE for host in hosts.split()
}
_WORST_FIRST: Final = tuple(Grade)


def grade(pattern: HostPattern, *, registry: str = "") -> Graded:
    """Grade an entry by the worst that it lets through.

    `registry` says that the entry is the host of a registry of packages ("pip", "npm"), whatever
    its name. A pattern that lets more through is never graded milder.
    """
    if registry:
        return _publishes(f"packages ({registry}): an account can publish what others install")
    inside = filter(pattern.matches, _ENTRIES)
    graded = [_above(pattern.host), *(_told("with", host) for host in inside)]
    return min(graded, key=lambda each: _WORST_FIRST.index(each.grade))


def _above(host: str) -> Graded:
    """Give the entry of a host, or else the longest that it lies below."""
    labels = host.split(".")
    for start in range(len(labels)):
        name = ".".join(labels[start:])
        if name in _ENTRIES:
            return _told("as", name) if start else _ENTRIES[name]
    return _UNKNOWN


def _told(how: str, host: str) -> Graded:
    """Say of an entry of another host that it counts: `as` one above, or `with` one below."""
    entry = _ENTRIES[host]
    return replace(entry, why=f"{how} {host}: {entry.why}")
