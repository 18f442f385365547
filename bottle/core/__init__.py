"""What is declared and decided: pure code, no I/O."""
