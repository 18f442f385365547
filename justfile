# Shorter names for the same doors: every recipe is one Invoke task, run where you stand.
set positional-arguments

here := justfile_directory()
invoke := quote(here / ".venv/bin/invoke") + " -r " + quote(here)

# List the recipes.
[no-cd, no-exit-message]
default:
    @{{ quote(just_executable()) }} --justfile {{ quote(justfile()) }} --list

# Make this machine ready: engine, host rule, images.
[no-cd, no-exit-message]
setup *WORDS:
    @{{ quote(here / "setup") }} "$@"

# Build the images that changed.
[no-cd, no-exit-message]
build *WORDS:
    @{{ invoke }} build "$@"

# Start an agent in a bottle of its own.
[no-cd, no-exit-message]
start *WORDS:
    @{{ invoke }} start "$@"

# Check a manifest, without starting anything.
[no-cd, no-exit-message]
check *WORDS:
    @{{ invoke }} check "$@"

# Print what a start would make.
[no-cd, no-exit-message]
plan *WORDS:
    @{{ invoke }} plan "$@"

# Print the JSON Schema of manifests.
[no-cd, no-exit-message]
schema *WORDS:
    @{{ invoke }} schema "$@"

# Write a manifest for this folder.
[no-cd, no-exit-message]
init *WORDS:
    @{{ invoke }} init "$@"

# Run the tests.
[no-cd, no-exit-message]
test *WORDS:
    @{{ invoke }} test "$@"

# Remove what dead sessions left.
[no-cd, no-exit-message]
reap *WORDS:
    @{{ invoke }} reap "$@"
