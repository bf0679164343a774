"""Prints a workbook's rows as JSON, one list a row: all sheets, times as ISO 8601 to the millisecond."""
import datetime
import json
import re
import sys

import openpyxl


def plain(v):
    if isinstance(v, datetime.datetime):
        return (v + datetime.timedelta(microseconds=500)).isoformat(timespec="milliseconds")
    if isinstance(v, str):  # ECMA-376 ST_Xstring, which openpyxl leaves to its users
        return re.sub("_x([0-9A-Fa-f]{4})_", lambda m: chr(int(m[1], 16)), v)
    return v


book = openpyxl.load_workbook(sys.argv[1], read_only=True)
for sheet in book:
    for row in sheet.iter_rows():
        if any(c.data_type == "f" for c in row):
            sys.exit("a formula: %r" % [c.value for c in row])
        print(json.dumps([plain(c.value) for c in row]))
