"""Data that ships with the program; sources, licences and checksums are in README.md beside this."""
