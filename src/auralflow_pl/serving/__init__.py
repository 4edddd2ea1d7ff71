"""A service that separates uploads: jobs, their limits and their files.

May import `stems` and all that is below it. HTTP is in `web`; the rest knows none of it. Start
with `service.SeparationService`, then `web.app`.
"""
