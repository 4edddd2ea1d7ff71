"""A page of songs to listen to: mixture, truth and several models side by side, also blind.

May import `evaluation`, `stems`, `report` and all that is below them.
Start with `page.write_gallery`; `ballots` reads the choices of listeners.
"""
