# Shorter names for the same doors: every recipe is one Invoke task, run where you stand.
set positional-arguments

here := justfile_directory()
invoke := quote(here / ".venv/bin/invoke") + " -r " + quote(here)

# List the recipes.
[no-cd]
default:
    @{{ quote(just_executable()) }} --justfile {{ quote(justfile()) }} --list

# Make this machine ready: engine, host rule, images.
[no-cd]
setup *WORDS:
    @{{ quote(here / "setup") }} "$@"

# Build the images that changed.
[no-cd]
build *WORDS:
    @{{ invoke }} build "$@"

# Start an agent in a bottle of its own.
[no-cd]
start *WORDS:
    @{{ invoke }} start "$@"

# Check a manifest, without starting anything.
[no-cd]
check *WORDS:
    @{{ invoke }} check "$@"

# Print what a start would make.
[no-cd]
plan *WORDS:
    @{{ invoke }} plan "$@"

# Write a manifest for this folder.
[no-cd]
init *WORDS:
    @{{ invoke }} init "$@"

# Run the tests.
[no-cd]
test *WORDS:
    @{{ invoke }} test "$@"

# Remove what dead sessions left.
[no-cd]
reap *WORDS:
    @{{ invoke }} reap "$@"
