"""What stands between the program and its machine: process, sockets, TLS, clock, secrets."""
