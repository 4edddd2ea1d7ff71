"""A web page on this machine: the page, and separating the files of its visitors.

May import `stems` and all that is below it; Gradio in `page` and `server` only.
Start with `studio.DemoService`, which knows no page, then `page`.
"""
