"""Packages the chart: package.py CHART DIRECTORY writes DIRECTORY/NAME-VERSION.tgz and prints its path and digest.

The same files give the same bytes: Helm stores when each file was changed, so all get one time, SOURCE_DATE_EPOCH or 1980.
"""

import os
import pathlib
import shutil
import sys
import tempfile

import helm_python

# 1980-01-01, the earliest that archives of every kind can hold.
EARLIEST = 315532800


def main(chart, directory):
    time = int(os.environ.get("SOURCE_DATE_EPOCH", EARLIEST))
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch, helm_python.Chart.load(chart).name)
        shutil.copytree(chart, copy)
        for path in copy.rglob("*"):
            os.utime(path, (time, time))
        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
        archive = helm_python.package(copy, destination=directory)
    print(archive, helm_python.digest(archive))


main(*sys.argv[1:])
