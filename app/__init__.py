"""Devices, processes, windows and the command line."""

import os

QUIET_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}
"""For the libraries of threads under NumPy and numba, which read it when they are loaded: so before
any of them, and for every process that is started from here.

By default their threads spin while they wait, and take the cores from each other, from x264 and
from other programs. Measured on 2 busy cores: posing a head took 20 ms of processor time a frame in
place of 2.4 ms; generating a second of motion, whose products are small, 2.1 s in place of .39 s.
"""
for _name, _value in QUIET_THREADS.items():
    os.environ.setdefault(_name, _value)
