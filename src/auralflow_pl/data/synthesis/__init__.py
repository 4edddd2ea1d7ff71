"""Songs from our own synthesis: a score is composed, played by instruments and mixed.

Pure NumPy and SciPy; may import nothing else of the package but `errors`.
Start with `song.render_song`, which makes the stems of a song from a seed.
"""
