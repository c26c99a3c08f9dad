"""Data that ships with the program; sources and licences are in README.md beside this."""
