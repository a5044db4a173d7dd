"""Makes what the project needs under .build, and shows what it does.

    python3 -m devkit.setup PART...

Each part is made once. A stamp in .build/stamps holds a hash of what went into it (locks, sources,
versions); while that hash stays the same and the results are there, the part is skipped in no time.
`make` calls this with the parts a target wants; nobody needs to call it by hand.

Only the standard library is used: this runs before anything is installed, on Python 3.11 or newer.
"""
