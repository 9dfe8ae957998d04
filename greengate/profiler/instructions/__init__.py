"""Instructions per inference, counted by callgrind on the processor that valgrind simulates."""
