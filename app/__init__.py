"""Devices, processes, windows and the command line."""
