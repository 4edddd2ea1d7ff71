"""What the documentation site takes from the code of the package.

Start with `keys` (the configuration) and `interface` (names in Python). `links` leads from the
Markdown files to pages, `layers` draws the folders, `mathml` sets formulas without a script.
"""
