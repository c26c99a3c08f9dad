"""Live motion for other programs: where it is sent (`targets`), how (`outlets`, `web_socket`), and
the thread that does it (`sender`)."""
