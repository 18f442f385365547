"""claude-bottle: Claude Code in an isolated, disposable container, with its walls proved."""
