"""What people see, in a real browser: Debian's chromium, driven by playwright."""
