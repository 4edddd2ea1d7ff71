"""Configuration of Sphinx for the documentation site: `make docs`.

Pages are the Markdown files of this folder and of the repository. `extensions/` adds what comes
from the code: the keys of the configuration, the interface in Python, the drawn layers.
`AURALFLOW_REPOSITORY` is the address of the repository, for links to its other files; without it
they are names of files.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sphinx.application import Sphinx

from auralflow_pl.version import __version__

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

from extensions import interface, keys, layers, links, mathml, writing  # noqa: E402

project = "auralflow_pl"
release = __version__
html_title = f"{project} {release}"
repository = os.environ.get("AURALFLOW_REPOSITORY", "")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["extensions"]
default_role = "py:obj"  # `name` in a docstring is a link if it is a name of the interface
nitpicky = False

myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 4
myst_dmath_double_inline = True

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_static_path = ["extensions/site.css"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
highlight_language = "text"


def setup(app: Sphinx) -> None:
    """Connect what makes pages from the code."""
    mathml.setup(app)
    layers.setup(app)
    links.setup(app)
    app.connect("builder-inited", write_generated)


def write_generated(app: Sphinx) -> None:
    """Write the pages that come from other files of the repository and from the code."""
    folder = Path(app.srcdir) / links.GENERATED
    for part in (links, keys, interface):
        part.write_pages(folder)
    writing.remove_others(folder)
